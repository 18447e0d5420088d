"""The tables: for the store, and for migrations."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import mysql
from sqlalchemy.exc import DBAPIError

from jwt_middleware.stores.sqlalchemy.engine import together

SESSIONS = "jwt_sessions"
EPOCHS = "jwt_epochs"
"""The tables, unless they are given other names."""

LONGEST_ID = 64
"""Characters of a session id; ours have 30."""

LONGEST_SUBJECT = 255
"""Characters of a subject: what OpenID Connect allows a ``sub``, and what an index can hold.
A longer one is refused, never cut: two people who share a beginning would become one."""


class Exact(sa.types.TypeDecorator[str]):
    """A string whose comparison knows no equivalents: case, accents and spaces at the end count.

    PostgreSQL and SQLite compare so by themselves. The collations of MariaDB and MySQL do
    not, and even ``utf8mb4_bin`` takes ``"alice "`` for ``"alice"``: theirs is named here.
    """

    impl: sa.types.TypeEngine[Any] | type[sa.types.TypeEngine[Any]] = sa.String
    cache_ok: bool | None = True

    def load_dialect_impl(self, dialect: sa.Dialect) -> sa.types.TypeEngine[Any]:
        if dialect.name not in {"mysql", "mariadb"}:
            return self.impl_instance
        is_mariadb: bool = getattr(dialect, "is_mariadb", False)
        collation = "utf8mb4_nopad_bin" if is_mariadb else "utf8mb4_0900_bin"
        length: int = getattr(self.impl_instance, "length")  # noqa: B009  # untyped upstream
        return mysql.VARCHAR(length, charset="utf8mb4", collation=collation)


_IN_MYSQL: dict[str, Any] = {
    f"{dialect}_{option}": value
    for dialect in ("mysql", "mariadb")
    for option, value in (("engine", "InnoDB"), ("charset", "utf8mb4"))
}


def sessions_table(metadata: sa.MetaData, name: str = SESSIONS) -> sa.Table:
    """The table of sessions, in ``metadata``: made there, or the one made before.

    For Alembic, name both tables where your models are: ``sessions_table(Base.metadata)``,
    ``epochs_table(Base.metadata)``. Its columns are Session's fields, in Session's order.
    """
    known = _known_table(metadata, name)
    if known is not None:
        return known
    return sa.Table(
        name,
        metadata,
        sa.Column("id", Exact(LONGEST_ID), primary_key=True),
        sa.Column("subject", Exact(LONGEST_SUBJECT), nullable=False),
        sa.Column("claims", sa.Text, nullable=False),
        sa.Column("persistent", sa.Boolean, nullable=False),
        sa.Column("created_at", sa.Double, nullable=False),
        sa.Column("rotated_at", sa.Double, nullable=False),
        sa.Column("expires_at", sa.Double, nullable=False),
        sa.Column("absolute_expires_at", sa.Double, nullable=False),
        sa.Column("refresh_salt", sa.Text, nullable=False),
        sa.Column("generation", sa.BigInteger, nullable=False),
        sa.Column("confirmed_generation", sa.BigInteger, nullable=False),
        sa.Column("confirmed_at", sa.Double, nullable=False),
        sa.Column("last_seen_at", sa.Double, nullable=False),
        sa.Column("revoked_at", sa.Double),
        sa.Column("revoked_reason", sa.Text),
        sa.Column("user_agent", sa.Text),
        sa.Column("address", sa.Text),
        sa.Index(f"ix_{name}_subject", "subject"),
        sa.Index(f"ix_{name}_end", "absolute_expires_at"),
        **_IN_MYSQL,
    )


def epochs_table(metadata: sa.MetaData, name: str = EPOCHS) -> sa.Table:
    """The table of epochs, one row a subject that was logged out everywhere: see above."""
    known = _known_table(metadata, name)
    if known is not None:
        return known
    return sa.Table(
        name,
        metadata,
        sa.Column("subject", Exact(LONGEST_SUBJECT), primary_key=True),
        sa.Column("at", sa.Double, nullable=False),
        sa.Column("keep", Exact(LONGEST_ID)),
        sa.Column("until", sa.Double, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Index(f"ix_{name}_until", "until"),
        **_IN_MYSQL,
    )


def _known_table(metadata: sa.MetaData, name: str) -> sa.Table | None:
    return metadata.tables.get(f"{metadata.schema}.{name}" if metadata.schema else name)


def refuse_too_long(subject: str, session_id: str) -> None:
    """Raise ValueError for what a database would refuse, or, worse, cut."""
    for what, value, longest in (
        ("subject", subject, LONGEST_SUBJECT),
        ("session id", session_id, LONGEST_ID),
    ):
        if len(value) > longest:
            raise ValueError(
                f"a {what} of {len(value)} characters: this store keeps at most {longest}"
            )


def make_tables(engine: sa.Engine, tables: list[sa.Table], collisions: int = 2) -> None:
    """Make the tables that are not there.

    Other workers may be starting too. Who comes second is refused and looks again; each
    collision is one more table that is there by then.
    """
    try:
        with engine.connect() as connection, together(connection):
            tables[0].metadata.create_all(connection, tables=tables)
    except DBAPIError as refused:
        unconnected = refused.statement is None or refused.connection_invalidated
        if unconnected or not collisions:
            raise
        make_tables(engine, tables, collisions - 1)
