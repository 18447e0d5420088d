"""One field of a form, found in the beginning of a request body.

The body is the app's: it is looked at, and passed on whole (see :mod:`jwt_middleware.bodies`).
A form that puts the field behind large uploads has it too late; a hidden field at the top of
the form is sent first.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final
from urllib.parse import unquote_plus

LOOKED_AT: Final = 65_536
"""Bytes at the beginning of a body in which the field has to be."""

_URLENCODED = "application/x-www-form-urlencoded"
_MULTIPART = "multipart/form-data"


def is_form(content_type: str | None) -> bool:
    """Whether a body of this type is what a browser makes of a form."""
    return _type(content_type)[0] in (_URLENCODED, _MULTIPART)


def form_field(content_type: str | None, beginning: bytes, whole: bool, name: str) -> str | None:
    """The value of the field in the form; None if it is not there, or there twice unlike.

    ``beginning``: of the body; ``whole``: there is nothing behind it. Never raises.
    """
    kind, options = _type(content_type)
    values: set[str] = set()
    if kind == _URLENCODED:
        values = set(_of_pairs(beginning, whole, name))
    elif kind == _MULTIPART:
        values = set(_of_parts(beginning, options.get("boundary", ""), name))
    return values.pop() if len(values) == 1 else None


def _type(content_type: str | None) -> tuple[str, dict[str, str]]:
    """In lower case, and its parameters."""
    # Here, as in _of_parts: who asks for no CSRF tokens needs none of it.
    from werkzeug.http import parse_options_header

    kind, options = parse_options_header(content_type)
    return kind.lower(), options


def _of_pairs(beginning: bytes, whole: bool, name: str) -> Iterator[str]:
    pairs = beginning.decode("utf-8", "replace").split("&")
    for pair in pairs if whole else pairs[:-1]:  # the last one may go on
        key, _, value = pair.partition("=")
        if unquote_plus(key) == name:
            yield unquote_plus(value)


def _of_parts(beginning: bytes, boundary: str, name: str) -> Iterator[str]:
    from werkzeug.exceptions import HTTPException
    from werkzeug.sansio import multipart

    if not boundary or not boundary.isascii():
        return
    ends = (multipart.NeedData, multipart.Epilogue)
    decoder = multipart.MultipartDecoder(boundary.encode())
    found: bytes | None = None  # what came so far of our field
    try:
        decoder.receive_data(beginning)
        while not isinstance(event := decoder.next_event(), ends):
            if isinstance(event, multipart.Field):
                found = b"" if event.name == name else None
            elif isinstance(event, multipart.File):
                found = None
            elif isinstance(event, multipart.Data) and found is not None:
                found += event.data
                if not event.more_data:
                    yield found.decode("utf-8", "replace")
    except (ValueError, HTTPException):
        return  # no form that an app could read, either
