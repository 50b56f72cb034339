"""What a paper claims: of two rows that differ in one thing, which one is better."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from reid.papers.table import Printed, Row

IN_WORDS = {  # what a control leaves of what was learnt
    "attention even": "even attention", "fusion concatenation": "parts joined, not weighed",
}  # fmt: skip


@dataclass(frozen=True)
class Claim:
    """`better` is said to beat `worse`; all that they differ in is `differs`."""

    name: str  # such as `aligned > strips`
    differs: str  # the one thing, in words
    better: Row
    worse: Row
    # Parameters that take from `better` what it has learnt to weigh, and leave all else: of this
    # control the claim's gain should be lost.
    control: Mapping[str, Any] | None = None

    @property
    def printed(self) -> Printed:
        """By data set and metric what `better` has above `worse`, where the paper prints both."""
        found: dict[str, dict[str, float]] = {}
        for dataset, numbers in self.better.printed.items():
            other = self.worse.printed.get(dataset, {})
            gains = {m: round(n - other[m], 2) for m, n in numbers.items() if m in other}
            found |= {dataset: gains} if gains else {}
        return found

    @property
    def control_claim(self) -> Claim | None:
        """That `better` beats its control: no paper prints this."""
        if self.control is None:
            return None
        named = ", ".join(f"{key} {value}" for key, value in self.control.items())
        told = IN_WORDS.get(named, named)
        row = replace(
            self.better, name=f"{self.better.name}, {named}", printed={}, same_as=None,
            overrides={**(self.better.overrides or {}), **self.control},
        )  # fmt: skip
        return Claim(f"{self.better.name} > {told}", f"learned, not {named}", self.better, row)
