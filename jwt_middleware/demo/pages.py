"""What the demo looks like: two pages, with no file but themselves.

Whatever a user, a browser or a token says is escaped on its way into a page, and the
policy lets no script run but the countdown.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterable, Mapping, Sequence
from hashlib import sha256
from html import escape

from jwt_middleware import Claims, RequestAuth, Session

from .config import ACCESS_LIFE, REFRESH_LIFE

ACCOUNT = "/account"
"""Where the app shows who is signed in. At `/` of the demo tokens are watched, if anybody does."""

RELOAD_EVERY = 3
"""Seconds between two calls of a page that reloads by itself."""


class Html(str):
    """Text that is HTML already; any other text is escaped when it is filled in."""

    __slots__ = ()


def fill(template: str, **values: object) -> Html:
    """The template with its ``{names}`` filled in."""
    ready = {name: _as_html(value) for name, value in values.items()}
    return Html(template.format_map(ready))


def joined(parts: Iterable[Html]) -> Html:
    """One after the other."""
    return Html("".join(parts))


def _as_html(value: object) -> Html:
    return value if isinstance(value, Html) else Html(escape(str(value)))


# ── The login page ────────────────────────────────────────────────────────────────

WHY_SIGNED_OUT: Mapping[str | None, str] = {
    "missing": "You carry no tokens yet.",
    "no_name": "A name of 1 to 64 characters, please.",
    "expired": "Both of your tokens have expired. You were away for too long.",
    "revoked": "Your session has ended: you logged out, here or everywhere, or a refresh "
    "token was used by two parties.",
    "invalid_token": "Your tokens are of an earlier run of this demo, or not genuine.",
    "unknown_session": "Your session is not in the store.",
}


def login(reason: str | None) -> Html:
    """Asks for a name. ``reason``: why nobody is signed in, as `RequestAuth.reason` has it."""
    why = WHY_SIGNED_OUT.get(reason, "You are not signed in.")
    return _document("Sign in", fill(_LOGIN, why=why, access=ACCESS_LIFE, refresh=REFRESH_LIFE))


_LOGIN = """
<h1>Sign in</h1>
<p class="note">{why}</p>
<form method="post" action="/login">
  <label>Name <input name="user" maxlength="64" required autofocus autocomplete="username"></label>
  <label class="check"><input type="checkbox" name="remember" checked> Remember me</label>
  <button class="main">Sign in</button>
</form>
<p class="hint">Any name will do, there is no password. Your access token will live for {access}
seconds and your refresh token for {refresh}.</p>
"""

# ── The home page ─────────────────────────────────────────────────────────────────


def home(auth: RequestAuth, sessions: Sequence[Session], *, reloads: bool) -> Html:
    """Who is signed in, and what became of the tokens. ``reloads``: again and again."""
    claims = auth.claims or Claims({})
    session = own_session(auth, sessions)
    # What the app is shown stands as the request found it. Reissued tokens are full again.
    refresh_until = 0.0 if session is None else session.expires_at
    refresh_left = REFRESH_LIFE if auth.reissued else refresh_until - auth.now
    body = fill(
        _HOME,
        user=auth.subject,
        verdict=_verdict(auth),
        access=_meter(claims.get("exp", 0.0) - auth.now, ACCESS_LIFE),
        refresh=_meter(refresh_left, REFRESH_LIFE),
        generation="?" if session is None else session.generation,
        reload=_reload_link(reloads),
        claims=joined(
            fill(_CLAIM, name=name, value=value, meaning=MEANINGS.get(name, ""))
            for name, value in claims.items()
        ),
        sessions=joined(_row(one, auth) for one in sessions),
    )
    return _document("Home", body, reloads=reloads)


def own_session(auth: RequestAuth, sessions: Iterable[Session]) -> Session | None:
    """The session this request belongs to."""
    return next((session for session in sessions if session.id == auth.session_id), None)


_HOME = """
<h1>You are {user}</h1>
{verdict}
<dl>
  <dt>Access token</dt><dd>{access}</dd>
  <dt>Refresh token</dt><dd>{refresh}</dd>
  <dt>Generation</dt><dd>{generation} <small>rotations of the refresh token,
    as this request found it</small></dd>
</dl>
<p class="row"><a class="button main" href="/account">Call again</a> {reload}</p>
<div class="row">
  <form method="post" action="/claims"><button>Change a claim</button></form>
  <form method="post" action="/logout"><button>Log out</button></form>
  <form method="post" action="/logout-everywhere"><button>Log out everywhere</button></form>
</div>
<h2>Claims</h2>
<div class="wide"><table>{claims}</table></div>
<h2>Where you are signed in</h2>
<div class="wide"><table>
<tr><th>since</th><th>generation</th><th>browser</th><th>address</th></tr>
{sessions}
</table></div>
"""

_CLAIM = "<tr><th>{name}</th><td><code>{value}</code></td><td>{meaning}</td></tr>\n"

MEANINGS: Mapping[str, str] = {
    "mood": "yours; it is kept in the session",
    "sub": "who you are",
    "iat": "issued at",
    "exp": "the access token expires",
    "jti": "this token's own id",
    "sid": "your session",
    "rgen": "the generation of the refresh token you are known to hold",
    "rexp": "the refresh token expires",
    "auth_time": "when you have signed in",
}


def _verdict(auth: RequestAuth) -> Html:
    """What became of this very request."""
    if not auth.reissued:
        kind, headline = "valid", "Access token valid"
        text = "No new tokens were needed."
    elif auth.access is None:
        kind, headline = "reissued", "Reissued in this request"
        text = "Your access token had expired. Your refresh token signed this very request in."
    else:
        kind, headline = "reissued", "Renewed in this request"
        text = "Your refresh token had expired, your access token not yet."
    return fill(_VERDICT, kind=kind, headline=headline, text=text)


_VERDICT = '<p class="verdict {kind}"><strong>{headline}</strong> {text}</p>'


def _meter(left: float, full: int) -> Html:
    seconds = max(0, round(left))
    return fill(_METER, left=seconds, full=full)


_METER = (
    '<progress max="{full}" value="{left}"></progress> <span><b data-left>{left}</b> s left</span>'
)


def _reload_link(reloads: bool) -> Html:
    if reloads:
        return Html('<a href="/account">Stop calling</a>')
    return fill('<a href="/account?reload=on">Call every {seconds} s</a>', seconds=RELOAD_EVERY)


def _row(session: Session, auth: RequestAuth) -> Html:
    return fill(
        _SESSION,
        kind="own" if session.id == auth.session_id else "other",
        since=f"{auth.now - session.created_at:.0f} s",
        generation=session.generation,
        browser=session.user_agent or "",
        address=session.address or "",
    )


_SESSION = (
    '<tr class="{kind}"><td>{since}</td><td>{generation}</td><td class="long">{browser}</td>'
    "<td>{address}</td></tr>\n"
)

# ── Every page ────────────────────────────────────────────────────────────────────


def _document(title: str, body: Html, *, reloads: bool = False) -> Html:
    again = f'<meta http-equiv="refresh" content="{RELOAD_EVERY}">' if reloads else ""
    return fill(
        _DOCUMENT,
        title=title,
        again=Html(again),
        style=Html(STYLE),
        body=body,
        script=Html(SCRIPT),
    )


_DOCUMENT = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
{again}<link rel="icon" href="data:,">
<title>{title} · jwt_middleware</title>
<style>{style}</style>
</head>
<body>
<main>
<p class="brand">jwt_middleware · <a href="/">demo</a></p>
{body}
</main>
<script>{script}</script>
</body>
</html>
"""

STYLE = """
:root { color-scheme: light dark; --accent: #2457c5; --soft: #f3f5f9; --card: #fff;
  --line: #d9dee8; --quiet: #5a6475; --good: #14703f; --new: #8a4b00; }
@media (prefers-color-scheme: dark) { :root { --accent: #8fb2ff; --soft: #12151b;
  --card: #1b2029; --line: #333b49; --quiet: #a3adbd; --good: #6fd39b; --new: #ffb65c; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--soft); font: 1rem/1.5 system-ui, sans-serif; }
main { max-width: 46rem; margin: 2rem auto; padding: 1.5rem 2rem 2rem; background: var(--card);
  border: 1px solid var(--line); border-radius: .75rem; }
@media (max-width: 48rem) { main { margin: 0; border: 0; border-radius: 0; padding: 1rem; } }
h1 { margin: .25rem 0 1rem; font-size: 1.75rem; overflow-wrap: anywhere; }
h2 { margin: 2rem 0 .5rem; font-size: 1.1rem; }
.brand, .hint, small, td:last-child { color: var(--quiet); }
.brand { margin: 0; font-size: .875rem; }
.verdict { margin: 0 0 1.25rem; padding: .75rem 1rem; border-left: .3rem solid var(--good);
  background: var(--soft); }
.verdict strong { display: block; color: var(--good); }
.verdict.reissued { border-color: var(--new); }
.verdict.reissued strong { color: var(--new); }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .4rem 1.25rem; margin: 0; }
dt { color: var(--quiet); }
dd { margin: 0; display: flex; flex-wrap: wrap; align-items: center; gap: .25rem .75rem; }
progress { flex: 1 1 8rem; max-width: 16rem; height: .75rem; accent-color: var(--accent); }
b { font-variant-numeric: tabular-nums; }
.row { display: flex; flex-wrap: wrap; align-items: center; gap: .75rem; margin: 1.25rem 0 0; }
a { color: var(--accent); }
button, .button { display: inline-block; padding: .5rem 1rem; border: 1px solid var(--line);
  border-radius: .5rem; background: var(--soft); color: inherit; font: inherit;
  text-decoration: none; cursor: pointer; }
.main:is(button, .button) { background: var(--accent); border-color: var(--accent);
  color: var(--card); }
label { display: block; margin-bottom: 1rem; }
input:not([type=checkbox]) { display: block; width: 100%; max-width: 24rem; padding: .5rem .75rem;
  border: 1px solid var(--line); border-radius: .5rem; background: var(--soft); color: inherit;
  font: inherit; }
.wide { overflow-x: auto; }
table { width: 100%; border-collapse: collapse; font-size: .875rem; }
th, td { padding: .35rem .75rem .35rem 0; border-top: 1px solid var(--line); text-align: left;
  vertical-align: top; }
th { font-weight: 500; }
th, td:first-child { white-space: nowrap; }
code, .long { overflow-wrap: anywhere; }
.long { min-width: 12rem; }
.own td:first-child::after { content: " · here"; color: var(--good); }
"""

SCRIPT = """
setInterval(() => {
  for (const number of document.querySelectorAll("[data-left]")) {
    const left = Math.max(0, number.textContent - 1);
    number.textContent = left;
    number.closest("dd").querySelector("progress").value = left;
  }
}, 1000);
"""

POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'; "
    f"script-src 'sha256-{b64encode(sha256(SCRIPT.encode()).digest()).decode()}'"
)
"""The Content-Security-Policy: names the one script by its digest."""
