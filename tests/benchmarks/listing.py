"""`python -m tests.benchmarks.listing`: what a look through a raw folder of many files takes."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Annotated

import typer

from pipeline.commands.console import table
from reid.project.layout import Project

PARAMS = "ingest: {with: {}, on: {many: {reader: folder, split: 0.5}}}\n"
IN_A_FOLDER = 1_000
SETTLED_S = 3.0  # what changed just now is listed again: see `pipeline.builds.folders`


def bench(
    files: Annotated[int, typer.Option(help="Files, 1,000 a folder.")] = 1_000_000,
    plan: Annotated[bool, typer.Option(help="Also plan their ingest.")] = True,
) -> None:
    """Make empty files, scan them again and again, print seconds and memory."""
    with tempfile.TemporaryDirectory(prefix="reid-listing-") as folder:
        project = Project(Path(folder))
        (project.root / "params.yaml").write_text(PARAMS)
        raw = project.raw("many")
        make(raw, files)
        time.sleep(SETTLED_S)
        rows = [_bare(raw)]
        rows.append(measured("first scan", project, "scan", "many"))
        rows.append(measured("second scan", project, "scan", "many"))
        rows.append(measured("quick scan", project, "scan", "many", "--quick"))
        (raw / "00000" / "1_999999.jpg").touch()
        name = "quick scan, one folder changed"
        rows.append(measured(name, project, "scan", "many", "--quick"))
        if plan:
            rows.append(measured("plan of ingest", project, "plan", "ingest", "many"))
    table(f"{files:,} files", ["what", "seconds", "CPU seconds", "peak MB"], rows)


def make(raw: Path, files: int) -> None:
    """Files of some size that take no room on the disk, named person/camera_frame.jpg."""
    for number in range(files):
        person, frame = divmod(number, IN_A_FOLDER)
        folder = raw / f"{person:05d}"
        if frame == 0:
            folder.mkdir(parents=True)
        path = f"{folder}/{frame % 6 + 1}_{frame:06d}.jpg"
        file = os.open(path, os.O_CREAT | os.O_WRONLY)
        os.ftruncate(file, 1_000 + number % 997)
        os.close(file)


def measured(what: str, project: Project, *arguments: str) -> list[str]:
    """A row of a command: seconds, CPU seconds, and the most memory it held, in 1e6 bytes."""
    begun = time.perf_counter()
    command = [sys.executable, "-m", "reid", *arguments]
    process = subprocess.Popen(command, cwd=project.root, stdout=subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)
    seconds, code = time.perf_counter() - begun, os.waitstatus_to_exitcode(status)
    process.returncode = code
    if code:
        raise SystemExit(f"reid {' '.join(arguments)}: ended with {code}")
    per = 1 if sys.platform == "darwin" else 1_024  # bytes of a unit of ru_maxrss
    cpu, peak = used.ru_utime + used.ru_stime, used.ru_maxrss * per / 1e6
    return [f"`reid {' '.join(arguments)}`: {what}", f"{seconds:.1f}", f"{cpu:.1f}", f"{peak:.0f}"]


def _bare(raw: Path) -> list[str]:
    """A row of `os.scandir` with a `stat` for each file and nothing else, in one thread."""
    begun, cpu = time.perf_counter(), time.process_time()
    for folder in raw.iterdir():
        with os.scandir(folder) as entries:
            for entry in entries:
                entry.stat()
    seconds, cpu = time.perf_counter() - begun, time.process_time() - cpu
    return ["os.scandir and a stat for each file", f"{seconds:.1f}", f"{cpu:.1f}", ""]


if __name__ == "__main__":
    typer.run(bench)
