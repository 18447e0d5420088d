"""The benchmarks' arithmetic: what they compare, and how they say it. Nothing is timed here."""

from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ET
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from benchmarks import store_growth
from benchmarks.bench import pairing, report, serving
from benchmarks.bench.bars import BARS, Bar, Outcome
from benchmarks.bench.pairing import Ratio, Subject, added, measure, ratio
from benchmarks.bench.peers import Peer
from benchmarks.bench.scaling import Curve
from benchmarks.bench.serving import Served

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "performance.md"


def outcome(value: float, number: str = "2w") -> Outcome:
    bar = next(one for one in BARS if one.number == number)
    return Outcome(bar, Ratio(value, value * 0.9, value * 1.1))


def test_each_round_runs_every_subject() -> None:
    """All subjects run equally often, prepared before each call; one round more warms up."""
    ran: list[str] = []
    subjects: dict[str, Any] = {
        "one": lambda: ran.append("one"),
        "two": Subject(lambda: ran.append("two"), lambda: ran.append("prepared")),
    }
    times = measure(subjects, rounds=4, calls=3)
    assert {name: len(rounds) for name, rounds in times.items()} == {"one": 4, "two": 4}
    assert {name: ran.count(name) for name in set(ran)} == {"one": 15, "two": 15, "prepared": 15}


def test_the_order_changes_between_rounds(monkeypatch: pytest.MonkeyPatch) -> None:
    """No subject always comes after the same other one."""
    ran: list[str] = []
    monkeypatch.setattr(pairing, "perf_counter_ns", count().__next__)
    measure({name: lambda name=name: ran.append(name) for name in "abc"}, rounds=20, calls=1)
    rounds = {tuple(ran[start : start + 3]) for start in range(3, len(ran), 3)}
    assert len(rounds) > 3


def test_what_a_subject_adds() -> None:
    """The difference to the bare app, round by round."""
    times = {"bare": [1.0, 2.0], "ours": [4.0, 6.0]}
    assert added(times, "ours", "bare") == [3.0, 4.0]
    assert added(times, "ours", None) == [4.0, 6.0]


def test_a_ratio_lies_in_its_interval() -> None:
    """The median over the median; resampled rounds say how sure that is."""
    found = ratio([2.0, 2.2, 1.8, 2.1, 1.9] * 6, [1.0, 1.1, 0.9, 1.0, 1.0] * 6)
    assert found.value == pytest.approx(2.0)
    assert found.low <= found.value <= found.high
    assert found.high - found.low < 0.5


@pytest.mark.parametrize(("value", "held"), [(0.06, True), (0.061, False)])
def test_a_missed_bar_is_reported_as_missed(value: float, held: bool) -> None:
    """Exactly on the bar is held; above it every report says so."""
    found = outcome(value)
    assert found.held is held
    assert ("MISSED" in report.line(found)) is not held
    assert ("**missed**" in report.markdown([found], [])) is not held


def test_bars_have_numbers_of_their_own() -> None:
    """Each bar can be asked for."""
    numbers = [bar.number for bar in BARS]
    assert len(set(numbers)) == len(numbers)
    assert all(isinstance(bar, Bar) and bar.most > 0 for bar in BARS)


def test_results_are_written_where_they_belong(tmp_path: Path) -> None:
    """JSON with versions, the page's tables, and drawings that are XML and name what they show."""
    (tmp_path / "docs").mkdir()
    (tmp_path / "benchmarks").mkdir()
    page = tmp_path / "docs" / "performance.md"
    page.write_text(f"before\n{report.BEGIN}\nold\n{report.END}\nafter\n", "utf-8")
    peer = Peer("R&D's <one>", "Flask", 13.0, 202.0, Ratio(0.06, 0.05, 0.07))
    curve = Curve("a known token", "other cookies", ((0, 4.0), (50, 5.0)))
    written = report.write(tmp_path, [outcome(0.05)], [peer], [curve])
    assert all(path.exists() for path in written)
    content = json.loads((tmp_path / "benchmarks" / "results.json").read_text("utf-8"))
    assert content["bars"][0]["held"] is True
    assert content["packages"]["pyjwt"]
    text = page.read_text("utf-8")
    assert text.startswith("before")
    assert text.endswith("after\n")
    assert "old" not in text
    assert "202.0 µs" in text
    for drawing in written[2:]:
        assert ET.fromstring(drawing.read_text("utf-8")).tag.endswith("svg")  # noqa: S314  # ours


def test_the_page_shows_the_kept_results() -> None:
    """docs/performance.md has the tables of benchmarks/results.json, and its drawings exist."""
    page = PAGE.read_text("utf-8")
    shown = page.split(report.BEGIN)[1].split(report.END)[0]
    content = json.loads((ROOT / "benchmarks" / "results.json").read_text("utf-8"))
    for bar in content["bars"]:
        row = next(line for line in shown.splitlines() if line.startswith(f"| {bar['bar']} |"))
        assert f"{bar['value']:.3g}" in row
        assert ("missed" in row) is not bar["held"]
    for name in re.findall(r"\]\((performance/[^)]*)\)", page):
        assert (PAGE.parent / name).is_file(), name


@pytest.mark.parametrize(("value", "held"), [(0.93, True), (0.929, False)])
def test_requests_a_second_have_a_least(tmp_path: Path, value: float, held: bool) -> None:
    """Bar 10 asks for at least so many: below it every report says that it is missed."""
    for folder in ("docs", "benchmarks"):
        (tmp_path / folder).mkdir()
    page = tmp_path / "docs" / "performance.md"
    page.write_text(f"before\n{serving.BEGIN}\nold\n{serving.END}\nafter\n", "utf-8")
    row = Served("gunicorn", 5000.0, 5000.0 * value, Ratio(value, value - 0.01, value + 0.01), 15)
    serving.write(tmp_path, [row])
    kept = json.loads((tmp_path / "benchmarks" / "served.json").read_text("utf-8"))
    assert kept[0]["ratio"]["value"] == value
    text = page.read_text("utf-8")
    assert "old" not in text
    assert "| gunicorn | 5,000/s |" in text
    assert ("**missed**" in text) is not held
    assert ("MISSED" in serving.line(row)) is not held


def test_the_page_shows_the_kept_throughput() -> None:
    """docs/performance.md has the table of benchmarks/served.json, of both servers."""
    kept = json.loads((ROOT / "benchmarks" / "served.json").read_text("utf-8"))
    rows = [Served(**{**row, "ratio": Ratio(**row["ratio"])}) for row in kept]
    assert [row.server for row in rows] == list(serving.SERVERS)
    assert serving.markdown(rows) in PAGE.read_text("utf-8")


def test_growth_is_measured_and_drawn(tmp_path: Path) -> None:
    """Each store at each size; stores that are not asked for keep the figures they had."""
    for folder in ("docs/performance", "benchmarks"):
        (tmp_path / folder).mkdir(parents=True)
    page = tmp_path / "docs" / "deploy.md"
    page.write_text(f"before\n{store_growth.BEGIN}\nold\n{store_growth.END}\nafter\n", "utf-8")
    for store in ("sqlite", "memory"):
        store_growth.main(
            ["--store", store, "--sizes", "10", "30", "--calls", "5", "--folder", str(tmp_path)]
        )
    kept = json.loads((tmp_path / "benchmarks" / "sessions.json").read_text("utf-8"))
    for points in kept["stores"].values():
        assert [point["sessions"] for point in points] == [10, 30]
    assert list(kept["stores"]) == ["memory", "sqlite"]
    text = page.read_text("utf-8")
    assert "old" not in text
    assert "| SQLite | 30 |" in text
    for verb in store_growth.VERBS:
        drawing = tmp_path / "docs" / "performance" / f"sessions-{verb}.svg"
        drawn = ET.fromstring(drawing.read_text("utf-8"))  # noqa: S314  # ours
        assert {"memory", "SQLite"} <= {text for text in drawn.itertext() if text}


def test_the_kept_growth_is_shown() -> None:
    """docs/deploy.md has the table of benchmarks/sessions.json: every store, up to its largest."""
    kept = json.loads((ROOT / "benchmarks" / "sessions.json").read_text("utf-8"))["stores"]
    assert list(kept) == list(store_growth.KINDS)
    shown = (ROOT / "docs" / "deploy.md").read_text("utf-8")
    assert store_growth.table(kept) in shown
