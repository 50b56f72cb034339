"""How near builds come to the goals of their accuracy, as `reid accuracy` has measured them.

Reads   4-reports/accuracy; what is of a build that has changed since is left out
"""

from __future__ import annotations

from typing import Any

from reid.project.layout import Project
from reid.results.accuracy import current
from tests.benchmarks.turns import row


def rows_accuracy(project: Project) -> list[dict[str, Any]]:
    """A row for each build that has a goal: the limit is the goal, the ratio is to reach 1."""
    return [
        row(f"accuracy of {measured['stage']} {measured['build']} by {measured['backend']}, "
            f"{goal['name']}", goal["value"], goal["limit"], 1.0, most=goal["most"])
        for measured in current(project)
        if (goal := measured["goal"]) is not None
    ]  # fmt: skip
