"""The command line: ``jwt-middleware``, or ``python -m jwt_middleware``.

One command a file, put together in `main`. Nothing imports this package: an app that uses the
middleware never loads it.
"""
