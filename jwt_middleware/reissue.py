"""What a refresh token is worth in tokens, when the response starts.

No token leaves without a look at the row *now*: a compare-and-swap if the request was to
rotate it, else a read. A response that did not win the swap gets tokens only if its own
refresh token would be accepted at this moment; else a slow thief would be handed the live
one. Nothing is revoked here: the verdict on the request was passed when it arrived.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import inf
from typing import Any, TypeAlias

from .claims import Claims
from .driver import Asks
from .handle import Answer, Parts, Reissue, RequestAuth
from .request import Request
from .rotation import TABLE, Presented, Row, Verdict, judge, swap_forward, swap_to_successor
from .sessions import Session, store
from .tokens import RefreshToken
from .transport import NOTHING, Additions, Channel
from .transport import Presented as PresentedTokens
from .world import hooks

Fields: TypeAlias = tuple[str | None, str | None, str | None]
"""Where the tokens of a request stand: two with the same fields present the same tokens."""

LONGEST_FIELD = 4096
"""Characters of a Cookie field that are kept to be compared. Most are far shorter; siblings with
a longer one are looked at in full."""

REPLAY = next(row for row in TABLE if row.verdict is Verdict.REPLAY)


@dataclass(slots=True)
class Minted:
    """An answer this process made after its own swap, and for whom."""

    reissue: Reissue
    answer: Answer
    successor: Session
    fields: Fields
    claims: Claims | None = None
    """What siblings are shown; None until the first one comes, as most reissues have none."""


class Reissuer:
    """Holds refresh tokens against their rows, and makes what they are worth."""

    def __init__(self, parts: Parts) -> None:
        self.parts = parts

    def judge(
        self,
        auth: RequestAuth,
        refresh: RefreshToken,
        session: Session | None,
        now: float,
        *,
        renewal: bool,
    ) -> Row:
        settings = self.parts.settings
        return judge(
            Presented(
                session=session,
                generation=refresh.generation,
                authentic=session is not None and self.parts.tokens.matches(refresh, session),
                now=now,
                grace=settings.rotation_grace,
                lost_response_window=settings.lost_response_window,
                has_body=auth.request.has_body,
                renewal=renewal,
            )
        )

    def reissue(self, auth: RequestAuth, reissue: Reissue, now: float) -> Asks[Additions]:
        """What the refresh token that signed this request in is worth now, in tokens."""
        if not reissue.row.verdict.reissues or undeliverable(auth.request, auth.channel):
            return NOTHING  # LATE: its client has, or will ask with, a newer token
        if reissue.row.verdict is Verdict.ROTATE:
            return (yield from self._rotate(auth, reissue, now))
        session: Session | None
        if self.parts.stateless:
            session = reissue.session
        elif reissue.row.verdict is Verdict.AHEAD:
            session = yield from self._swap_forward(auth, reissue, now)
        else:
            session = yield from store.load(reissue.session.id, now=now)
        return (yield from self._hand_out(auth, reissue, session, now))

    def _rotate(self, auth: RequestAuth, reissue: Reissue, now: float) -> Asks[Additions]:
        session, overturned = reissue.session, self.parts.memory.overturned
        idle = self.parts.tokens.idle(session.persistent)
        swap = swap_to_successor(session, idle=idle, now=now)
        successor = _swapped(session, swap, reissue.claims)
        # Signed before the swap: tokens that do not fit must not cost the client its old ones.
        additions = self.deliver(auth, successor, successor.generation, now, with_refresh=True)
        if self.parts.stateless:
            yield from hooks.emit(auth.event("reissued", session.id))
            return additions
        rotation = yield from store.rotate(session.id, **swap, claims=reissue.claims, now=now)
        auth.unconfirmed = None  # the swap has proven it, whoever made it
        if not rotation.won:
            return (yield from self._hand_out(auth, reissue, rotation.session, now))
        if rotation.session is not None and rotation.session.claims != successor.claims:
            # Changed since the request arrived: the token shows the row as it is now.
            successor = replace(successor, claims=rotation.session.claims)
            additions = self.deliver(auth, successor, successor.generation, now, with_refresh=True)
        self._remember(auth.request, reissue, successor, additions, now, overturned)
        yield from hooks.emit(auth.event("reissued", session.id))
        return additions

    def _swap_forward(
        self, auth: RequestAuth, reissue: Reissue, now: float
    ) -> Asks[Session | None]:
        refresh = reissue.refresh
        swap = swap_forward(
            reissue.session,
            generation=refresh.generation,
            issued_at=refresh.issued_at,
            expires_at=refresh.expires_at,
        )
        rotation = yield from store.rotate(
            reissue.session.id, **swap, claims=reissue.claims, now=now
        )
        if rotation.won:
            yield from hooks.emit(auth.event("store_behind", reissue.session.id))
        return rotation.session

    def _hand_out(
        self, auth: RequestAuth, reissue: Reissue, session: Session | None, now: float
    ) -> Asks[Additions]:
        """Tokens for a request that moved nothing: only what its own token would get now.

        Else a slow thief would be handed the live token. Nothing is revoked here: the
        verdict on the request was passed when it arrived.
        """
        refresh = reissue.refresh
        if now >= refresh.expires_at and not reissue.renewal:
            return NOTHING
        row = self.judge(auth, refresh, session, now, renewal=reissue.renewal)
        if session is None or not row.verdict.reissues:
            if row.reason == "revoked":
                self.parts.memory.end(refresh.session_id)
            return NOTHING
        if reissue.claims is not None:
            session = replace(session, claims=reissue.claims)
        asked_for_access_only = reissue.row.verdict in (Verdict.KEEP, Verdict.AHEAD)
        if row.verdict is not Verdict.REPLAY or asked_for_access_only:
            yield from hooks.emit(auth.event("reissued", session.id))
            # As its `rexp` it names the expiry of the refresh token that the client keeps.
            kept = replace(session, expires_at=refresh.expires_at)
            return self.deliver(auth, kept, refresh.generation, now)
        if now > auth.now + self.parts.settings.rotation_grace:
            return NOTHING  # so slow an answer might overtake, in the jar, a newer token
        settled_at = max(session.rotated_at, session.confirmed_at)
        late = now > settled_at + self.parts.settings.rotation_grace
        yield from hooks.emit(auth.event("lost_response" if late else "replayed", session.id))
        return self.deliver(auth, session, session.generation, now, with_refresh=True)

    def deliver(
        self,
        auth: RequestAuth,
        session: Session,
        generation: int,
        now: float,
        *,
        with_refresh: bool = False,
        until: float = inf,
    ) -> Additions:
        """``generation``: of the refresh token the client holds once it has this response.
        ``until``: when the access token expires at the latest."""
        if auth.channel is None or undeliverable(auth.request, auth.channel):
            return NOTHING
        if now >= session.absolute_expires_at:
            return NOTHING
        tokens = self.parts.tokens
        return self.parts.transport.deliver(
            auth.channel,
            access=tokens.access(session, generation=generation, now=now, until=until),
            refresh=tokens.refresh(session) if with_refresh else None,
            max_age=max_age(session, now),
            claims=session.claims,
            csrf=self.parts.csrf.make(session.id),
        )

    # ── What this process has just made ──────────────────────────────────────────

    def _remember(
        self,
        request: Request,
        reissue: Reissue,
        successor: Session,
        additions: Additions,
        now: float,
        overturned: int,
    ) -> None:
        """Siblings with the same two tokens may be served from here for a grace."""
        if self.parts.settings.check_session != "never":
            return  # the row is to be asked each time
        answer = Answer(additions, made_at=now, until=now + self.parts.settings.rotation_grace)
        if not self.parts.memory.stand(reissue.session.id, answer, since=overturned):
            return  # new claims came meanwhile
        again = replace(reissue, row=REPLAY, answer=answer)
        fields = request.authorization, request.refresh, request.cookie
        minted = Minted(again, answer, successor, fields)
        self.parts.memory.minted.put(reissue.presented, minted)
        if reissue.expired is not None and len(request.cookie or "") <= LONGEST_FIELD:
            self.parts.memory.siblings.put(reissue.presented.access or "", minted)

    def recall(self, presented: PresentedTokens, now: float) -> Minted | None:
        """What was made for these tokens, while it may be given again."""
        minted: Minted | None = self.parts.memory.minted.get(presented)
        if minted is None or not self._stands(minted.answer, minted.reissue, now):
            return None
        return minted

    def sibling(self, access: str, request: Request, now: float) -> Minted | None:
        """The same at a glance, for a request whose fields hold what those of the first did."""
        minted: Minted | None = self.parts.memory.siblings.get(access)
        fields = request.authorization, request.refresh, request.cookie
        if minted is None or minted.fields != fields:
            return None
        return minted if self._stands(minted.answer, minted.reissue, now) else None

    def claims_of(self, minted: Minted) -> Claims:
        """What a sibling is shown: the row as it was made, and the generation it has proven."""
        claims = minted.claims
        if claims is None:
            proven = minted.reissue.refresh.generation
            members = self.parts.tokens.members(
                minted.successor, generation=proven, now=minted.answer.made_at
            )
            claims = minted.claims = Claims(members)
        return claims

    def _stands(self, answer: Answer, reissue: Reissue, now: float) -> bool:
        memory, session_id = self.parts.memory, reissue.session.id
        if now >= answer.until or session_id in memory.ended:
            return False
        return memory.standing.get(session_id) is answer

    def repeat(
        self, auth: RequestAuth, reissue: Reissue, answer: Answer, now: float
    ) -> Additions | None:
        """The answer that another request with the same tokens was given, if it stands."""
        if not self._stands(answer, reissue, now):
            return None
        if now >= reissue.refresh.expires_at and not reissue.renewal:
            return None  # as for any other request that runs past the end of its own token
        if undeliverable(auth.request, auth.channel):
            return None
        self.parts.tell("replayed", auth.now, reissue.refresh.subject, reissue.session.id)
        return answer.additions


def undeliverable(request: Request, channel: Channel | None) -> bool:
    """No header of a WebSocket handshake reaches the script that opened it; cookies do."""
    return request.websocket and channel is Channel.HEADERS


def _swapped(
    session: Session, swap: Mapping[str, Any], claims: Mapping[str, Any] | None
) -> Session:
    """The row as it will stand after the swap, as far as its tokens show it."""
    return replace(
        session,
        generation=swap["generation"],
        rotated_at=swap["rotated_at"],
        expires_at=swap["expires_at"],
        claims=session.claims if claims is None else claims,
    )


def max_age(session: Session, now: float) -> float | None:
    """Seconds a cookie is kept: to the end of the session's life, so that an expired token
    is still presented. None: a session cookie."""
    return session.absolute_expires_at - now if session.persistent else None
