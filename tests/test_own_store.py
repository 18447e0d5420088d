"""docs/own-store.md, held to its word: its store passes the contract, sync and async."""

import re
from pathlib import Path
from typing import Any

from jwt_middleware import JWTAuth
from jwt_middleware.stores import VERBS, check_store

PAGE = (Path(__file__).parents[1] / "docs" / "own-store.md").read_text("utf-8")

NAMES: dict[str, Any] = {"__name__": __name__}
for _block in re.findall(r"^```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL):
    exec(compile(_block, "own-store.md", "exec"), NAMES)  # noqa: S102  # what readers run

TestShelfSessionStore = NAMES["TestShelfSessionStore"]


class Awaited:
    """The page's store, its verbs to be awaited."""

    def __init__(self, store: Any) -> None:
        self.store = store

    def __getattr__(self, verb: str) -> Any:
        async def ask(*arguments: Any, **options: Any) -> Any:
            return getattr(self.store, verb)(*arguments, **options)

        return ask


class TestShelfSessionStoreAwaited(TestShelfSessionStore):
    race_rounds = 2

    def make_store(self, tmp_path: Path) -> Any:
        return NAMES["Waiting"](Awaited(super().make_store(tmp_path)))


def test_the_page_shows_a_whole_store(tmp_path):
    """It has the verbs that the page counts, and serves as the setting."""
    store = NAMES["ShelfSessionStore"](tmp_path / "sessions")
    assert len(VERBS) == 10
    assert "the ten verbs" in PAGE
    assert check_store(store) is None
    auth = JWTAuth(secret_key="x" * 32, session_store=store)
    pair = auth.issue("alice")
    assert [session.id for session in auth.sessions("alice")] == [pair.session_id]
    auth.close()
