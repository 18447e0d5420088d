"""Django's responses: ours, and what is put on the app's: fields, cookies, a stream's context."""

from __future__ import annotations

from collections.abc import AsyncIterator, Container, Iterator, Sequence
from http.cookies import Morsel
from typing import Any

from django.http import HttpResponse
from django.http.response import HttpResponseBase

from ...handle import RequestAuth, serving
from ...preflights import header_alone
from ...refusals import Refusal


def answer(refused: Refusal) -> HttpResponse:
    """A refusal, or what an endpoint of ours says, as Django sends it."""
    response = HttpResponse(refused.body, status=refused.status)
    put(response, refused.headers)
    return response


def fields_of(response: HttpResponseBase) -> list[tuple[str, str]]:
    """Everything the response says in its header, its cookies last."""
    cookies = (("Set-Cookie", cookie.OutputString()) for cookie in response.cookies.values())
    return [*response.items(), *cookies]


def put(response: HttpResponseBase, fields: Sequence[tuple[str, str]]) -> None:
    """Make these the fields of the response; the cookies among them that it has stay."""
    plain = {name: value for name, value in fields if name != "Set-Cookie"}
    for name in [name for name, _ in response.items() if name not in plain]:
        del response[name]
    for name, value in plain.items():
        response[name] = value
    kept = {cookie.OutputString() for cookie in response.cookies.values()}
    for number, (name, value) in enumerate(fields):
        if name == "Set-Cookie" and value not in kept:
            cookie = _Cookie(value)
            # One name may be set and, under another path, expired: both have to be sent.
            key = f"{cookie.key} {number}" if cookie.key in response.cookies else cookie.key
            response.cookies |= {key: cookie}


def without_content(response: HttpResponseBase) -> HttpResponse:
    """Its header alone; it is closed."""
    bare = HttpResponse(status=response.status_code)
    put(bare, header_alone(response.status_code, fields_of(response)))
    response.close()
    return bare


class _Cookie(Morsel[str]):
    """A finished Set-Cookie field, as it is."""

    def __init__(self, field: str) -> None:
        super().__init__()
        name, _, rest = field.partition("=")
        value = rest.partition(";")[0]
        self.set(name, value, value)
        self._field = field

    # The name and the argument are Morsel's.
    def OutputString(self, attrs: Container[str] | None = None) -> str:  # noqa: ARG002, N802
        return self._field


def keep_context(response: Any, auth: RequestAuth) -> None:
    """Each step of a stream in the context of its request. A file is left to the server."""
    if getattr(response, "streaming", False) and not getattr(response, "file_to_stream", None):
        steps = _async_steps if response.is_async else _steps
        response.streaming_content = steps(response.streaming_content, auth)


def _steps(stream: Iterator[bytes], auth: RequestAuth) -> Iterator[bytes]:
    while True:
        with serving(auth):
            part = next(stream, None)
        if part is None:
            return
        yield part


async def _async_steps(stream: AsyncIterator[bytes], auth: RequestAuth) -> AsyncIterator[bytes]:
    while True:
        with serving(auth):
            part = await anext(stream, None)
        if part is None:
            return
        yield part
