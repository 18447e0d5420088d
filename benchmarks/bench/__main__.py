"""Measure everything, in pairs; a few minutes.

python -m benchmarks.bench            # as docs/performance.md has it
python -m benchmarks.bench --quick    # a tenth, and nothing is written
python -m benchmarks.bench --only 3   # one bar, and nothing is written
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from .bars import BARS, FULL, QUICK, Outcome
from .peers import peers
from .report import line, write
from .scaling import curves

ROOT = Path(__file__).parents[2]


def main(arguments: list[str] | None = None) -> int:
    """Answers how many bars were missed."""
    parser = argparse.ArgumentParser(prog="benchmarks.bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a tenth; writes nothing")
    parser.add_argument("--only", metavar="BAR", help="one bar by its number; writes nothing")
    options = parser.parse_args(arguments)
    scale = QUICK if options.quick else FULL
    outcomes: list[Outcome] = []
    for bar in BARS:
        if options.only is None or bar.number.split()[0] == options.only:
            outcomes.append(Outcome(bar, bar.measure(scale)))
            print(line(outcomes[-1]), flush=True)
    missed = sum(not outcome.held for outcome in outcomes)
    print(f"{len(outcomes)} bars, {missed} missed", flush=True)
    if options.only is None:
        beside, grown = peers(scale), curves(scale)
        for peer in beside:
            print(f"{peer.name:32} adds {peer.theirs:6.1f} µs, ours {peer.ours:5.1f} µs")
        if not options.quick:
            for path in write(ROOT, outcomes, beside, grown):
                print(f"{path.relative_to(ROOT)} is written")
    return missed


if __name__ == "__main__":
    sys.exit(0 if main() >= 0 else 1)
