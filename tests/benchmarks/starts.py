"""What a command costs that has nothing to do: user and system seconds against `import torch`.

An experiment of a tiny rendered project is trained and evaluated once; then the same again, and a
stage, in turns with a bare import.
"""

from __future__ import annotations

import contextlib
import os
import statistics
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pipeline.commands.build import make_plan
from pipeline.engine import run as engine
from reid.project.layout import Project
from tests.benchmarks.turns import row
from tests.conftest import make_project

ROUNDS = 5
IMPORT = ("-c", "import torch")
REID = ("-c", "from pipeline.commands.main import main; main()")
COMMANDS = {  # with the most that it may cost, of an import of torch
    "train toy-baseline": 1.2, "evaluate toy-baseline": 1.2, "report": 1, "parts toy": 0.5,
    "status": 1.2,
}  # fmt: skip


def rows_starts(folder: Path) -> list[dict[str, Any]]:
    """A row for each of `COMMANDS`; the limit is the import of torch."""
    project = make_project(folder)
    with contextlib.chdir(project.root):  # as the command does
        for stage in ("ingest", "joints", "parts"):
            engine.run(make_plan(stage, "toy", project), project, executor="local")
    calls = [IMPORT, *((*REID, *command.split()) for command in COMMANDS)]
    for call in calls:
        cpu_seconds(call, project)
    taken = [[cpu_seconds(call, project) for call in calls] for _ in range(ROUNDS)]
    limit, *values = (statistics.median(each) for each in zip(*taken, strict=True))
    return [
        row(f"reid {name}, nothing to do, CPU s (import torch)", value, limit, goal, most=True)
        for (name, goal), value in zip(COMMANDS.items(), values, strict=True)
    ]


def cpu_seconds(arguments: Sequence[str], project: Project) -> float:
    """User and system seconds of Python with these arguments, in a project, with one thread."""
    before = os.times()
    subprocess.run(
        [sys.executable, *arguments], cwd=project.root, check=True, capture_output=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    after = os.times()
    spent = (after.children_user - before.children_user, after.children_system)
    return spent[0] + spent[1] - before.children_system
