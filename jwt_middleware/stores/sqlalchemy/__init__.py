"""Sessions in PostgreSQL, MariaDB, MySQL or SQLite, by way of SQLAlchemy: for several machines.

From the top down: `store`, the verbs; `statements`, each written once; `tables`, for
migrations too; and `engine`, with which every wait has an end.

Two rules carry the whole store. *A verb that moves a row is one conditional statement*: the
database decides who won, no lock outlives a verb, and who matched no row reads again to learn
why. *What the epoch covers is ended, marked or not*: at READ COMMITTED a login may be written
after a log-out-everywhere it did not see, so every verb asks for the epoch in its own statement.

SQLite works as well (its own file: ``jwt_middleware.stores.sqlite`` does it faster).
"""

from __future__ import annotations

from importlib.util import find_spec

from jwt_middleware.errors import ConfigurationError

if find_spec("sqlalchemy") is None:
    raise ConfigurationError(
        'sessions in a database need SQLAlchemy: pip install "jwt-session-middleware[sqlalchemy]"'
    )

from jwt_middleware.stores.sqlalchemy.store import SQLAlchemySessionStore
from jwt_middleware.stores.sqlalchemy.tables import (
    EPOCHS,
    LONGEST_ID,
    LONGEST_SUBJECT,
    SESSIONS,
    epochs_table,
    sessions_table,
)

__all__ = [
    "EPOCHS",
    "LONGEST_ID",
    "LONGEST_SUBJECT",
    "SESSIONS",
    "SQLAlchemySessionStore",
    "epochs_table",
    "sessions_table",
]
