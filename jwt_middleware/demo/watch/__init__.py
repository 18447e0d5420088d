"""The page to watch the mechanism on, at ``/watch``: in front of the demo's app and its door.

`clock`
    time that passes, and can be moved on
`recorder`
    what happened, and what the middleware decided
`stream`
    the record, told to the page as it is written
`actions`
    what the buttons do to cookies, clock and keys
`doors`
    all that for WSGI and ASGI; ``page.html``, ``page.css`` and ``page.js`` are what is seen

The page's script never holds a token: cookies are `HttpOnly`, and the stream has claims only.
"""
