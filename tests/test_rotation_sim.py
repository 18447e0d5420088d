"""The headline simulation, in small: it finds nothing against the package, and could."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks import rotation_sim as sim
from benchmarks.rotation_sim import Middleware, Outcome, live

SEED = 1
SESSIONS = range(20)
"""One of them is always on; of the others one half is at work, the other comes now and then."""
HALF_A_YEAR = 180 * sim.DAY


@pytest.fixture(autouse=True)
def silent(caplog: pytest.LogCaptureFixture) -> None:
    """A theft that is noticed is logged as a warning, and here are many."""
    caplog.set_level("CRITICAL", logger="jwt_middleware")


@pytest.fixture
def bad_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that few sessions meet what else takes many."""
    for share in ("LOST", "LATE", "SLOW"):
        monkeypatch.setattr(sim, share, 0.05)


def lives(theft: str | None = None, **settings: Any) -> list[Outcome]:
    """Sessions with this package."""
    return [live(Middleware(**settings), SEED, index, theft=theft) for index in SESSIONS]


def test_nobody_honest_is_signed_out() -> None:
    """Late, slow, lost and overtaking answers end no session."""
    result = sim.honest_result(lives())
    assert (result.logged_out, result.examples) == (0, [])
    assert result.met["current"] > 1000
    assert result.met["predecessor"] > 1000


@pytest.mark.usefixtures("bad_network")
def test_nobody_honest_is_signed_out_on_a_bad_network() -> None:
    """Nor do many more of them, and lost answers are made good much later."""
    result = sim.honest_result(lives())
    assert (result.logged_out, result.examples) == (0, [])
    assert result.met["lost answer made good"] > 0


def test_every_naive_thief_is_noticed() -> None:
    """A thief who copies the jar and comes on and off ends the session sooner or later."""
    result = sim.theft_result(lives("naive"))
    assert result.thefts == len(SESSIONS)
    assert result.noticed == result.thefts


@pytest.mark.parametrize("theft", ["always within the grace", "once after each rotation"])
def test_the_known_limits_are_shown(theft: str) -> None:
    """Thieves who are known to escape do escape, or the documentation is too modest."""
    outcomes = [live(Middleware(), SEED, index, theft=theft) for index in range(1, 7)]
    assert sim.theft_result(outcomes).noticed == 0
    assert all(one.served_for > 20 * sim.DAY for one in outcomes)


@pytest.mark.usefixtures("bad_network")
@pytest.mark.parametrize("rival", sim.RIVALS)
def test_rivals_sign_honest_people_out(rival: str) -> None:
    """The same lives under a model of what others do end in false logouts."""
    outcomes = [live(sim.SCHEMES[rival](), SEED, index) for index in SESSIONS]
    assert sim.honest_result(outcomes).logged_out > 0


@pytest.mark.usefixtures("bad_network")
@pytest.mark.parametrize(
    "sabotage",
    [{"rotation_grace": 0}, {"rotation_grace": 30}, {"lost_response_window": 0}],
    ids=["no grace", "short grace", "lost answers not made good"],
)
def test_a_table_that_signs_people_out_is_found_out(sabotage: dict[str, Any]) -> None:
    """A worse table, had by settings, shows in the figure of false logouts."""
    sessions = (live(Middleware(**sabotage), SEED, index) for index in SESSIONS[1:])
    assert any(one.logged_out for one in sessions)


@pytest.mark.filterwarnings("ignore:.*rotation_grace")
def test_a_table_that_is_blind_to_theft_is_found_out() -> None:
    """A grace without end shows in the figure of thefts noticed."""
    outcomes = [
        live(Middleware(rotation_grace=HALF_A_YEAR), SEED, index, theft="naive")
        for index in range(1, 7)
    ]
    assert sim.theft_result(outcomes).noticed < len(outcomes)


@pytest.mark.parametrize("theft", [None, "naive"])
@pytest.mark.parametrize("index", [1, 2])
def test_what_is_left_out_would_have_changed_nothing(theft: str | None, index: int) -> None:
    """Requests with a known and fresh access token are skipped, and nothing else differs."""
    short = live(Middleware(), SEED, index, theft=theft)
    long = live(Middleware(), SEED, index, theft=theft, skip_quiet=False)
    assert short.quiet > 0
    assert long.requests > short.requests
    assert (short.logged_out, short.noticed_after) == (long.logged_out, long.noticed_after)
    assert _without_valid(short) == _without_valid(long)


def _without_valid(outcome: Outcome) -> dict[str, int]:
    return {row: times for row, times in outcome.met.items() if row != "valid access token"}


def test_a_run_can_be_repeated() -> None:
    """The same seed and index are the same session, to the second."""
    job = sim.Job(SEED, 2, sim.OURS, "naive")
    assert job.run() == job.run()


def test_the_bound_is_the_rule_of_three_or_wilsons() -> None:
    """None in ten thousand bounds the share by three in ten thousand; none at all, by nothing."""
    assert sim.upper_bound(0, 10_000) == pytest.approx(0.0003)
    assert sim.upper_bound(5, 100) == pytest.approx(0.0992, abs=0.0001)
    assert sim.upper_bound(0, 0) == 1.0
    assert sim.upper_bound(7, 7) == pytest.approx(1.0)


def test_the_command_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run prints the tables for the documentation and writes all its numbers as JSON."""
    monkeypatch.setattr(sim, "MIX", ("occasional visitor",))  # the shortest life
    file = tmp_path / "result.json"
    sim.main(["--sessions", "4", "--seed", "5", "--workers", "1", "--json", str(file)])
    shown = capsys.readouterr().out
    assert "| this package | 0 of 4 | 0.0% | under 75.00% | 0 of 0 | 0 of 4 | 0 of 0 |" in shown
    assert "4 sessions, seed 5" in shown
    assert json.loads(file.read_text())["honest"]["this package"]["logged_out"] == 0
