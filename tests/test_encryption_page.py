"""docs/encryption.md, held to its word: its code is run, its steps and figures are tried."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from encrypting import encrypting, our_header
from forging import NOW, make_tokens
from stepping import SECRET

from jwt_middleware import JWTAuth
from jwt_middleware.tokens import Tokens
from jwt_middleware.transport import COOKIE_LIMIT

PAGE = (Path(__file__).parents[1] / "docs" / "encryption.md").read_text("utf-8")


def test_its_code_runs() -> None:
    """Every block of Python works as it stands; in each step machines read what those one step
    away make."""
    names: dict[str, Any] = {"SECRET": SECRET}
    blocks = re.findall(r"^```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    assert len(blocks) == 3
    for block in blocks:
        exec(compile(block, "docs/encryption.md", "exec"), names)  # noqa: S102  # our own page
    assert names["claims"]["sub"] == "alice"
    machines = names["machines"]
    readable = [[reads(reader, maker) for reader in machines] for maker in machines]
    assert readable == [
        [True, True, True, False],
        [True, True, True, False],
        [False, True, True, True],
        [False, True, True, True],
    ]


def reads(reader: JWTAuth, maker: JWTAuth) -> bool:
    """Whether one machine takes what another hands out."""
    token = maker.issue("alice").access_token
    verified = reader._parts.tokens.verify(token, None, now=reader.clock())
    return verified.access_state == "valid"


def test_its_header_is_ours() -> None:
    """But for the ``kid``, which is each key's own."""
    (shown,) = re.findall(r"^```json\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    assert {**our_header(), "kid": "…"} == json.loads(shown)


def measured(tokens: Tokens) -> tuple[int, int]:
    """Characters of a small access token, and the bytes of a claim that fit into its cookie."""
    session = tokens.new_session("alice", {"roles": ["admin"]}, persistent=True, now=NOW)
    members = tokens.members(session, generation=0, now=NOW)
    size = len(tokens.sign_access(members))
    room = next(
        room
        for room in range(4000, 0, -10)
        if len(tokens.sign_access({**members, "blob": "x" * room}))
        <= COOKIE_LIMIT - len("__Host-access_token")
    )
    return size, room


@pytest.mark.parametrize(
    ("column", "tokens"), [(0, make_tokens()), (1, encrypting())], ids=["plain", "encrypted"]
)
def test_its_sizes_are_right(column: int, tokens: Tokens) -> None:
    """To a few characters, and ten bytes of room."""
    found = [re.findall(r"[\d,]+(?= characters| bytes \|)", line) for line in PAGE.splitlines()]
    sizes, rooms = [row for row in found if len(row) == 2]
    size, room = measured(tokens)
    assert abs(int(sizes[column]) - size) <= 5
    assert abs(int(rooms[column].replace(",", "")) - room) <= 20


def test_its_limits_are_right() -> None:
    """The bound is 2 to the 32nd, and a thousand a second reach it after as long as it says."""
    assert f"{2**32:,}" in PAGE
    assert round(2**32 / 1000 / 86_400 / 7) == 7
    assert "seven weeks" in PAGE
