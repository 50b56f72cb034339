"""All figures of speed, as ratios to limits measured in the same run.

A row is {name, value, limit, ratio, goal, holds}: `value` is ours and `limit` what it is held
against, in the unit that `name` says; `goal` compares `ratio`, or is None where nothing is asked.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from reid.project.layout import Project, as_json, write_atomically


def run(
    project: Project, images: int, say: Callable[[str], Any] = lambda _: None
) -> list[dict[str, Any]]:
    """Every row, after each part also in 4-reports/bench.json; half an hour on two cores."""
    from tests.benchmarks.accuracy import rows_accuracy
    from tests.benchmarks.flow import rows_flow
    from tests.benchmarks.networks import rows_networks
    from tests.benchmarks.peers import rows_peers
    from tests.benchmarks.ranking import rows_ranking
    from tests.benchmarks.ray import rows_ray
    from tests.benchmarks.stages import rows_stages
    from tests.benchmarks.starts import rows_starts
    from tests.benchmarks.swaps import rows_swaps
    from tests.benchmarks.trainings import rows_trainings
    from tests.benchmarks.turns import rows_io

    peers = os.environ.get("REID_PEERS")
    rows: list[dict[str, Any]] = []
    project.work.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=project.work.resolve(), prefix="bench-") as name:
        folder = Path(name)  # not relative: some parts work in a project of their own
        parts: dict[str, Callable[[], list[dict[str, Any]]]] = {
            "shards": lambda: rows_io(folder / "io", images),
            "peers": lambda: rows_peers(folder / "peers"),
            "stages": lambda: rows_stages(folder / "stages"),
            "starts": lambda: rows_starts(folder / "starts"),
            "swaps": lambda: rows_swaps(folder / "swaps"),
            "flow": lambda: rows_flow(folder / "flow"),
            "networks": lambda: rows_networks(folder / "networks"),
            "loader": lambda: rows_training(folder / "io" / "data"),
            "trainings": lambda: rows_trainings(folder / "trainings"),
            "ranking": lambda: rows_ranking(Path(peers) if peers else None),
            "ray": rows_ray,  # none without ray
            "accuracy": lambda: rows_accuracy(project),
        }
        for number, (part, measure) in enumerate(parts.items(), 1):
            say(f"bench: {part}, {number} of {len(parts)}")
            rows += measure()
            write_atomically(project.reports / "bench.json", as_json(rows))
    return rows


def as_markdown(rows: Sequence[dict[str, Any]]) -> list[str]:
    """The rows as docs/speed.md has them, those of the peers as a table of their own."""
    from tests.benchmarks.peers import as_table, is_of_peers

    held = {True: "yes", False: "no", None: ""}
    return [
        "| what (limit in brackets) | value / limit | goal | holds |",
        "|---|---|---|---|",
        *(
            f"| {row['name']} | {row['ratio']:.3g} | {row['goal'] or '-'} | {held[row['holds']]} |"
            for row in rows
            if not is_of_peers(row)
        ),
        "",
        *as_table([row for row in rows if is_of_peers(row)]),
    ]


def rows_training(folder: Path) -> list[dict[str, Any]]:
    """The loader with two workers against one core's decoding, and what training waits for."""
    from tests.benchmarks.training import loader, waiting

    return [loader(folder), *waiting(folder)]
