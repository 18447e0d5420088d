"""The statements, each written once, and how the rows that they answer are read."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import sqlalchemy as sa

from jwt_middleware.sessions import Session
from jwt_middleware.stores.columns import COLUMNS, session_of


class Statements:
    """Every statement of the store, for its two tables. Parameters begin with ``p_``."""

    def __init__(self, sessions: sa.Table, epochs: sa.Table) -> None:
        row, epoch = sessions.c, epochs.c

        this = row.id == _p("p_id")
        unmarked = row.revoked_at.is_(None)
        covering = sa.and_(
            epoch.subject == row.subject,
            epoch.at >= row.created_at,
            sa.or_(epoch.keep.is_(None), epoch.keep != row.id),
        )
        uncovered = ~sa.exists().where(covering)
        not_ended = sa.and_(this, unmarked, uncovered)
        mark: dict[str, Any] = {"revoked_at": _p("p_now"), "revoked_reason": _p("p_reason")}

        shown = sa.select(sessions, epoch.at.label("epoch_at"), epoch.reason).select_from(
            sessions.outerjoin(epochs, covering)
        )
        self.load: sa.Select[Any] = shown.where(this)
        self.find: sa.Select[Any] = shown.where(
            row.subject == _p("p_subject"),
            unmarked,
            epoch.subject.is_(None),
            row.expires_at > _p("p_now"),
            row.absolute_expires_at > _p("p_now"),
        ).order_by(row.created_at.desc())

        self.insert: sa.Insert = sessions.insert()
        self.rotate: sa.Update = (
            sessions.update()
            .where(not_ended, row.generation == _p("p_expected"))
            .ordered_values(
                (row.generation, _p("p_generation")),
                (row.rotated_at, _p("p_rotated_at")),
                (row.expires_at, _p("p_expires_at")),
                (row.last_seen_at, _p("p_now")),
                (row.claims, sa.func.coalesce(_p("p_claims", type_=sa.Text()), row.claims)),
                # In this order: MySQL's right-hand sides see what stands to their left.
                (row.confirmed_at, _if_raised(row, _p("p_now"), row.confirmed_at)),
                (
                    row.confirmed_generation,
                    _if_raised(row, _p("p_confirmed"), row.confirmed_generation),
                ),
            )
        )
        self.confirm: sa.Update = (
            sessions.update()
            .where(
                not_ended,
                row.generation == _p("p_generation"),
                row.confirmed_generation < _p("p_generation"),
            )
            .values(
                confirmed_generation=_p("p_generation"),
                confirmed_at=_p("p_now"),
                last_seen_at=_p("p_now"),
            )
        )
        self.update: sa.Update = sessions.update().where(not_ended).values(claims=_p("p_claims"))
        self.as_it_stands: sa.Select[Any] = sa.select(sessions).where(this)

        self.revoke: sa.Update = sessions.update().where(not_ended).values(mark)
        self.mark: sa.Update = sessions.update().where(this, unmarked).values(mark)
        self.others: sa.Select[Any] = sa.select(row.id).where(
            row.subject == _p("p_subject"),
            unmarked,
            sa.or_(_p("p_keep", type_=row.id.type).is_(None), row.id != _p("p_keep")),
        )
        these = sa.and_(row.id.in_(sa.bindparam("p_ids", expanding=True)), unmarked)
        self.lock: sa.Select[Any] = (
            sa.select(row.id)
            .where(these)
            .order_by(row.id)  # whoever locks several locks them in one order
            .with_for_update()
        )
        self.mark_locked: sa.Update = sessions.update().where(these).values(mark)
        stored = {name: _p(f"p_{name}") for name in ("at", "keep", "until", "reason")}
        self.move_epoch: sa.Update = (
            epochs.update()
            .where(epoch.subject == _p("p_subject"), epoch.at <= _p("p_at"))
            .values(stored)
        )
        self.new_epoch: sa.Insert = epochs.insert().values(stored | {"subject": _p("p_subject")})


def _p(name: str, type_: sa.types.TypeEngine[Any] | None = None) -> sa.BindParameter[Any]:
    return sa.bindparam(name, type_=type_)


def end_of(session_id: str, at: float | None, reason: str | None) -> dict[str, Any]:
    """What the statements that end a session ask for."""
    return {"p_id": session_id, "p_now": at, "p_reason": reason}


def _if_raised(row: Any, then: Any, otherwise: Any) -> sa.ColumnElement[Any]:
    """``then``, if a rotation proves a newer generation than is known."""
    return sa.case((_p("p_confirmed") > row.confirmed_generation, then), else_=otherwise)


def shown(row: sa.Row[Any]) -> Session:
    """The session of a row that has its covering epoch, if there is one, at its end."""
    session = session_of(row[: len(COLUMNS)])
    epoch_at, epoch_reason = row[len(COLUMNS) :]
    if session.revoked or epoch_at is None:
        return session
    return replace(session, revoked_at=float(epoch_at), revoked_reason=epoch_reason)
