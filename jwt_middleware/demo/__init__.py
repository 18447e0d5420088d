"""An app to look at the middleware with: ``python -m jwt_middleware demo``.

`config`
    settings so short-lived that a person can watch tokens expire
`app`
    the app, without any framework, behind the WSGI or the ASGI door; read it first
`pages`
    what it looks like
`watch`
    a page that shows every token and decision, in front of the app
`server`
    a real server for either door
`client`, `check`
    the same story without a person, over real HTTP
"""
