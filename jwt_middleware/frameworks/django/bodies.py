"""A look at the beginning of a Django request's body, which the view then reads as if nobody had.

Django keeps the stream of a body to itself, and what it has read of it cannot be read again: so
the stream is exchanged before anybody has asked for it. Attributes of Django's own do that, as
there is no public way; REST framework does likewise.
"""

from __future__ import annotations

from io import BytesIO
from typing import Any

from django.http import HttpRequest

from ...bodies import Beginning, ReplayedInput, read_up_to
from ...forms import LOOKED_AT


def peek(request: HttpRequest) -> Beginning:
    """The beginning of the body.

    Raises what the stream raises, and what Django does if a middleware in front of ours has
    taken the body.
    """
    inner: Any = request
    if inner._read_started:  # noqa: SLF001  # see above
        content = request.body
        return Beginning(content[:LOOKED_AT], whole=len(content) <= LOOKED_AT)
    stream = inner._stream  # noqa: SLF001
    content = read_up_to(stream, LOOKED_AT)
    whole = len(content) < LOOKED_AT
    if stream.seekable():  # under ASGI a file of Django's own
        stream.seek(0)
    else:
        inner._stream = BytesIO(content) if whole else _Replayed(content, stream)  # noqa: SLF001
    return Beginning(content, whole)


class _Replayed(ReplayedInput):
    """As Django's own stream, which is closed when it has been read, and asked whether it can be
    read again."""

    def seekable(self) -> bool:
        return False

    def close(self) -> None:
        self._rest.close()
