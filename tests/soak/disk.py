"""Campaign: no space, no right to write, two runs at once, a clock that jumps.

Holds where the command ends with one line, or goes on; and where the same command, run again once
there is space, publishes the bytes of a run that nobody disturbed. Real full disks and read-only
folders are mounts in a name space of their own; where those are not to be had, cases are skipped.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from random import Random

from tests.conftest import contents, make_project, reid
from tests.soak.cases import Case

TARGETS = ("no space, injected", "no space, mounted", "read-only", "two runs", "clock")
PUBLISHED = "data/1-shards/toy"
SHARDS = "data/1-shards"

# The n-th call of a step fails as it does on a full disk.
FULL = """
import errno, os, importlib
m = importlib.import_module({module!r})
owner, _, name = {name!r}.rpartition('.')
owner = getattr(m, owner) if owner else m
real, count = getattr(owner, name), [0]
def scarce(*a, **k):
    count[0] += 1
    if count[0] == {n}: raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    return real(*a, **k)
setattr(owner, name, scarce)
"""
POINTS = (
    ("pipeline.engine.journal", "write_shard"), ("pipeline.engine.journal", "write_atomically"),
    ("pipeline.engine.run", "write_shard"), ("pipeline.engine.run", "Path.write_bytes"),
    ("reid.project.publish", "replace_folder"), ("os", "fsync"), ("os", "link"), ("os", "replace"),
    ("os", "mkdir"),
)  # fmt: skip
JUMPS = """
import random, time
real, drawn = time.time, random.Random({seed})
time.time = lambda: real() + drawn.choice((-1e9, -3600, 0, 3600, 1e9))
"""
RUN = f"{sys.executable} -m reid ingest toy 2>>errors"
MOUNTED = """
set -u
mount -t tmpfs -o size={small}k none {place} || exit 90
cp -r {source}/. {place} || exit 91
cd {place} && {run}; echo first $?
mount -o remount,size=64m {place} || exit 92
{run}; echo second $?
cp -r data {result}; cp errors {result}
"""
READ_ONLY = """
set -u
cd {place} && mkdir -p {folder}
mount --bind {folder} {folder} && mount -o remount,bind,ro {folder} || exit 90
{run}; echo first $?
umount {folder} || exit 92
{run}; echo second $?
cp -r data {result}; cp errors {result}
"""


class Disk:
    """A project and what an undisturbed run publishes."""

    def __init__(self, base: Path, target: str) -> None:
        self.base, self.target = base, target
        whole = make_project(base / "whole")
        assert reid("ingest", "toy", cwd=whole.root).returncode == 0
        self.expected = contents(whole.root / PUBLISHED)
        self.kinds = {
            TARGETS[0]: self.injected, TARGETS[1]: self.mounted, TARGETS[2]: self.read_only,
            TARGETS[3]: self.two_runs, TARGETS[4]: self.clock,
        }  # fmt: skip

    def case(self, seed: int) -> Case:
        case = Case(self.target, seed)
        project = make_project(self.base / "project").root
        try:
            self.kinds[self.target](case, project, seed)
        finally:
            shutil.rmtree(project)
        return case

    def judge(self, case: Case, project: Path, errors: str = "") -> None:
        """The first run's `errors` are one line, and what is published now is as undisturbed."""
        lines = [line for line in errors.splitlines() if line.strip()]
        if len(lines) > 1 or (lines and not lines[0].startswith("reid: ")):
            case.fail(f"not one line: ... {errors.strip()[-200:]!r}")
        if contents(project / PUBLISHED) != self.expected:
            case.fail("published other bytes than an undisturbed run")
        case.outcome = case.outcome or ("refused" if lines else "rows")

    def injected(self, case: Case, project: Path, seed: int) -> None:
        module, name = POINTS[seed % len(POINTS)]
        n = Random(seed).randint(1, 3)
        case.steps.append(f"no space at call {n} of {module}.{name}")
        first = reid("ingest", "toy", cwd=project, patch=FULL.format(module=module, name=name, n=n))
        second = reid("ingest", "toy", cwd=project)
        if second.returncode:
            case.fail(f"did not go on: {second.stderr[-300:]}")
        self.judge(case, project, first.stderr if first.returncode else "")

    def mounted(self, case: Case, project: Path, seed: int) -> None:
        place = self.base / "mounted"
        place.mkdir(exist_ok=True)
        used = sum(max(4, -(-p.stat().st_size // 4096) * 4) for p in project.rglob("*"))  # KiB
        small = used + Random(seed).choice((4, 20, 60, 150, 300))
        case.steps.append(f"a disk of {small} KiB, {used} of them used")
        self.in_name_space(case, MOUNTED, place=place, source=project, small=small)

    def read_only(self, case: Case, project: Path, seed: int) -> None:
        folder = (".work", SHARDS, "data", ".")[seed % 4]
        case.steps.append(f"{folder} is read-only")
        if folder == ".":
            (project / "errors").touch()
        self.in_name_space(case, READ_ONLY, place=project, folder=project / folder)

    def in_name_space(self, case: Case, script: str, **places: object) -> None:
        """Run a script that mounts; it says the status of the command's two runs."""
        result = self.base / "result"
        shutil.rmtree(result, ignore_errors=True)
        result.mkdir()
        errors = result.parent / "errors"
        errors.unlink(missing_ok=True)
        run = RUN.replace("errors", str(errors))
        text = script.format(run=run, result=result, **places).replace("cp errors", f"cp {errors}")
        text = f"export PYTHONPATH={Path(__file__).parents[2]} COLUMNS=200\n{text}"
        done = subprocess.run(
            ["unshare", "-m", "bash", "-c", text], capture_output=True, text=True, timeout=1200
        )
        if "first" not in done.stdout:  # no name spaces, or no mounts, are allowed here
            case.outcome = "skipped"
            case.steps.append(f"skipped: {(done.stderr or done.stdout).strip()[:200]}")
            return
        if "second 0" not in done.stdout:
            case.fail(f"did not go on: {done.stdout!r} {errors.read_text()[-300:]}")
            return
        self.judge(case, result, errors.read_text() if "first 0" not in done.stdout else "")

    def two_runs(self, case: Case, project: Path, seed: int) -> None:
        del seed
        command = [
            sys.executable,
            "-c",
            "from pipeline.commands.main import main; main()",
            "ingest",
            "toy",
        ]
        runs = [
            subprocess.Popen(command, cwd=project, stderr=subprocess.PIPE, text=True,
                             stdout=subprocess.DEVNULL)
            for _ in range(2)
        ]  # fmt: skip
        ended = [(run.communicate(timeout=1200)[1], run.returncode) for run in runs]
        case.steps.append(f"statuses {[status for _, status in ended]}")
        lost = [errors for errors, status in ended if status]
        if len(lost) == 2 or any("is at work already" not in errors for errors in lost):
            case.fail(f"neither won, or the loser was not told: {lost}")
        if reid("ingest", "toy", cwd=project).returncode:
            case.fail("a later run did not go on")
        self.judge(case, project, lost[0] if lost else "")

    def clock(self, case: Case, project: Path, seed: int) -> None:
        case.steps.append("time.time jumps by hours and decades at every call")
        done = reid("ingest", "toy", cwd=project, patch=JUMPS.format(seed=seed))
        if done.returncode:
            case.fail(f"stopped: {done.stderr[-300:]}")
        self.judge(case, project)


def cases(target: str, seeds: range, base: Path) -> Iterator[Case]:
    """The cases of one kind of disk; `seeds` of them, each point at least once in nine."""
    home = base / f"disk-{TARGETS.index(target)}"
    home.mkdir()
    disk = Disk(home, target)
    for seed in seeds:
        yield disk.case(seed)
    shutil.rmtree(home)
