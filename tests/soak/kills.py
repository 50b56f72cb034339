"""Campaign: commands killed at random times, then run again until they end.

Holds where a published folder is whole at every moment (the old one, the new one or none), where
the last run publishes the bytes of a run that nobody disturbed, and where nothing temporary is left
after `reid gc`.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random

import cv2
import numpy as np

from pipeline.datasets.mars import reader as mars
from pipeline.datasets.tvpr import reader as tvpr
from pipeline.engine.journal import unused
from reid.arrays import images
from reid.project.layout import Project, write_atomically
from tests.conftest import PARAMS, contents, make_project
from tests.soak import trees
from tests.soak.cases import Case

RUN = "toy-baseline"  # an experiment
SECONDS = 1200  # of one run that nobody kills
OWN_PROCESS = ("train", "evaluate", "report")  # commands that no pool of processes runs
MORE = """\
jet:
  on: {top: {}}
crops:
  on: {top: {backend: depth, nobody: whole_frame}}
flow:
  on: {walk: {backend: dis}}
masks:
  on: {toy: {backend: given, path: masks}}
backgrounds:
  on: {toy: {side: 32, same_viewpoint: false, not_occluded: false}}
swaps:
  on: {toy: {}}
"""


@dataclass(frozen=True)
class Step:
    """One command, and what it needs."""

    title: str
    command: tuple[str, ...]
    published: str  # the folder that it publishes
    needs: tuple[str, ...] = ()  # titles of what must be built before
    edit: tuple[str, str] = ("", "")  # of params.yaml, before it


STEPS = (
    Step("ingest", ("ingest", "toy"), "data/1-shards/toy"),
    Step("joints", ("joints", "toy"), "data/2-derived/joints/toy", ("ingest",)),
    Step("parts", ("parts", "toy"), "data/2-derived/parts/toy", ("ingest", "joints")),
    Step("ingest depth", ("ingest", "top"), "data/1-shards/top"),
    Step("jet", ("jet", "top"), "data/2-derived/jet/top", ("ingest depth",)),
    Step("crops", ("crops", "top"), "data/2-derived/crops/top", ("ingest depth",)),
    Step("ingest video", ("ingest", "walk"), "data/1-shards/walk"),
    Step("flow", ("flow", "walk"), "data/2-derived/flow/walk", ("ingest video",)),
    Step("masks", ("masks", "toy"), "data/2-derived/masks/toy", ("ingest",)),
    Step("backgrounds", ("backgrounds", "toy"), "data/2-derived/backgrounds/toy",
         ("ingest", "masks")),
    Step("swaps", ("swaps", "toy"), "data/2-derived/swaps/toy",
         ("ingest", "masks", "backgrounds")),
    Step("train", ("train", RUN), f"data/3-runs/{RUN}/train", ("ingest", "joints", "parts")),
    Step("evaluate", ("evaluate", RUN), f"data/3-runs/{RUN}/evaluate",
         ("ingest", "joints", "parts", "train")),
    Step("report", ("report",), "data/4-reports", ("ingest",)),
    Step("publish anew", ("ingest", "toy"), "data/1-shards/toy", ("ingest",),
         edit=("shard_rows: 32", "shard_rows: 20")),
)  # fmt: skip
TARGETS = tuple(step.title for step in STEPS)


def make(base: Path) -> Path:
    """A tiny project with images, depth, joints, masks and one experiment; nothing is built."""
    project = make_project(base / "project").root
    list(tvpr.write(project / "data/0-raw/top", trees.samples("tvpr")))
    large = (replace(s, image=images.resize(s.image, 64, 32)) for s in trees.samples("mars"))
    list(mars.write(project / "data/0-raw/walk", large))
    for number, path in enumerate(sorted((project / "data/0-raw/toy").rglob("*.jpg"))):
        mask = np.zeros((64, 32), np.uint8)
        cv2.ellipse(mask, (15 + number % 3, 32), (9, 26), 0, 0, 360, 255, -1)
        write_atomically(project / "masks" / f"{path.stem}.png", images.encode_png(mask))
    named = "{reader: market1501}, top: {reader: tvpr}, walk: {reader: mars}"
    changed = PARAMS.replace("{reader: market1501}", named)
    (project / "params.yaml").write_text(changed + MORE)
    return project


class Build:
    """An undisturbed build of one step: what was there before, and what came of it."""

    def __init__(self, base: Path, step: Step) -> None:
        self.step, self.base = step, base
        project = make(base)
        for needed in STEPS:
            if needed.title in step.needs:
                run_whole(project, needed)
        self.old = contents(project / self.step.published)
        self.before = base / "before"
        project.rename(self.before)
        done = self.copy("done")
        self.first, self.whole = run_timed(done, self.step)
        self.new = contents(done / self.step.published)
        shutil.rmtree(done)

    def copy(self, name: str) -> Path:
        made = self.base / name
        shutil.copytree(self.before, made)
        text = (made / "params.yaml").read_text()
        (made / "params.yaml").write_text(
            text.replace(*self.step.edit) if self.step.edit[0] else text
        )
        return made

    def case(self, seed: int) -> Case:
        """One to three kills, each looked at, then a run to the end."""
        case, random = Case(self.step.title, seed), Random(f"{self.step.title} {seed}")
        project = self.copy("killed")
        for _ in range(random.choice((1, 1, 2, 3))):
            case.steps.append(self.kill(project, random))
            published = contents(project / self.step.published)
            if published not in (self.old, self.new, {}):
                case.fail(f"half published: {sorted(published)[:5]} of {sorted(self.new)[:5]}")
        finished = start(project, self.step, pool=False)
        errors = finished.communicate(timeout=SECONDS)[1]
        case.outcome = "rows"
        if finished.returncode:
            case.fail(f"did not go on: {errors.strip()[-300:]}")
        elif contents(project / self.step.published) != self.new:
            case.fail("published other bytes than an undisturbed run")
        left = left_over(project)
        if left:
            case.fail(f"left behind after gc: {', '.join(left[:3])}")
        shutil.rmtree(project)
        return case

    def kill(self, project: Path, random: Random) -> str:
        """Start, wait, kill the whole group; mostly while it works, at times while it starts."""
        starting, pool = random.random() < 0.15, random.random() < 0.3
        began = time.monotonic()
        run = start(project, self.step, pool=pool)
        delay = random.uniform(0, self.first) if starting else None
        if delay is None:
            wait_for_change(project, run)
            delay = random.uniform(0, 1.1 * (self.whole - self.first))
            began = time.monotonic()
        with contextlib.suppress(subprocess.TimeoutExpired):
            run.wait(max(0, began + delay - time.monotonic()))
        state = "had ended" if run.poll() is not None else "killed"
        with contextlib.suppress(ProcessLookupError):
            os.killpg(run.pid, signal.SIGKILL)
        run.communicate()
        return f"{state} {delay:.2f} s after its {'start' if starting else 'first file'}"


def start(project: Path, step: Step, *, pool: bool) -> subprocess.Popen[str]:
    """The command in a process group of its own."""
    more = ["--executor", "pool"] if pool and step.command[0] not in OWN_PROCESS else []
    return subprocess.Popen(
        [sys.executable, "-m", "reid", *step.command, *more], cwd=project, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), "OMP_NUM_THREADS": "1"},
    )  # fmt: skip


def run_whole(project: Path, step: Step) -> None:
    run = start(project, step, pool=False)
    errors = run.communicate(timeout=SECONDS)[1]
    assert run.returncode == 0, errors


def run_timed(project: Path, step: Step) -> tuple[float, float]:
    """Seconds to the first file that an undisturbed run writes, and to its end."""
    began = time.monotonic()
    run = start(project, step, pool=False)
    wait_for_change(project, run)
    first = time.monotonic() - began
    errors = run.communicate(timeout=SECONDS)[1]
    assert run.returncode == 0, errors
    return first, time.monotonic() - began


def wait_for_change(project: Path, run: subprocess.Popen[str]) -> None:
    """Until the command has written something, or has ended."""
    before = newest(project)
    while run.poll() is None and newest(project) == before:
        time.sleep(0.01)


def newest(project: Path) -> tuple[int, int]:
    """How many files lie in the working folder, and when the last was changed."""
    times = []
    for path in (project / ".work").rglob("*"):
        with contextlib.suppress(OSError):
            times.append(path.stat().st_mtime_ns)
    return len(times), max(times, default=0)


def left_over(root: Path) -> list[str]:
    """Temporary files and folders that are still there after `reid gc`."""
    for path in unused(Project(root).work):
        path.unlink()
    publishing = root / ".work/publish"
    odd = [p for p in root.rglob("*") if p.name.endswith((".tmp", ".old"))]
    odd += [*publishing.iterdir()] if publishing.is_dir() else []
    return sorted(str(path.relative_to(root)) for path in odd)


def cases(target: str, seeds: range, base: Path) -> Iterator[Case]:
    """Kills of one step, in folders below `base`; its share of the seeds, evenly dealt."""
    number = TARGETS.index(target)
    own = [seed for seed in seeds if seed % len(STEPS) == number]
    if own:
        home = base / f"kills-{number}"
        home.mkdir()
        build = Build(home, STEPS[number])
        for seed in own:
            yield build.case(seed)
        shutil.rmtree(home)
