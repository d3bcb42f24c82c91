"""Seeded cases: what chance chooses, how a failure is told, and what a campaign tried."""

from __future__ import annotations

import os
import random
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

SEED = int(os.environ.get("RETRIEVAL_FAULT_SEED", "0"))
ONLY = os.environ.get("RETRIEVAL_FAULT_CASE", "")
"""CAMPAIGN:NUMBER repeats one case alone."""


@dataclass(frozen=True, slots=True)
class Case:
    """One case of a campaign; the same seed and number give the same fault."""

    campaign: str
    number: int
    seed: int = SEED

    def chance(self) -> random.Random:
        """What this case is chosen by."""
        return random.Random(f"{self.seed} {self.campaign} {self.number}")

    def __str__(self) -> str:
        return (
            f"{self.campaign} case {self.number}, alone: RETRIEVAL_FAULT_SEED={self.seed} "
            f"RETRIEVAL_FAULT_CASE={self.campaign}:{self.number} make test-faults"
        )


@dataclass(frozen=True, slots=True)
class Result:
    """What became of a case: in a few words that are counted, and what broke a promise."""

    case: Case
    outcome: str
    problem: str = ""


def cases(campaign: str, count: int) -> Iterator[Case]:
    """The first so many cases of a campaign, or the one that the environment names."""
    name, _, number = ONLY.partition(":")
    if not ONLY:
        yield from (Case(campaign, each) for each in range(count))
    elif name == campaign:
        yield Case(campaign, int(number))


def tell(campaign: str, results: list[Result]) -> None:
    """Print what was tried, and fail where a promise was broken."""
    counted = Counter(result.outcome for result in results if not result.problem)
    lines = [f"\n{campaign}: {len(results)} cases of seed {SEED}"]
    lines += [f"  {count:5} {outcome}" for outcome, count in sorted(counted.items())]
    sys.stdout.write("\n".join(lines) + "\n")
    broken = [result for result in results if result.problem]
    lines = [f"{result.case}\n    {result.problem}" for result in broken]
    assert not broken, f"{len(broken)} of {len(results)} broke a promise:\n" + "\n".join(lines[:40])
