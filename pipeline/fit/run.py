"""`reid fit-backend`: renders the people, fits one backend's network, and writes its weights.

Writes  <out>/<backend>.safetensors, the averaged weights in half precision, and <backend>.json:
        recipe, examples, how long it took and on what. A fit that was stopped goes on where it was.
"""

from __future__ import annotations

import importlib
import platform
import threading
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from time import monotonic
from types import ModuleType
from typing import Any

from pipeline.fit import people
from reid.project.errors import ReidError
from reid.project.layout import Project, as_json, sha256_of, write_atomically
from reid.project.threads import cores

LESSONS = {  # by the backend's name
    "masks_torchvision": "masks",
    "joints_mmpose": "joints",
    "crops_ultralytics": "crops",
    "flow_ptlflow": "flow",
}


def lesson_of(backend: str) -> ModuleType:
    """The module that fits a backend; a stage's name will do too."""
    names = {**LESSONS, **{stage: stage for stage in LESSONS.values()}}
    if backend not in names:
        raise ReidError(f"fit-backend: no `{backend}` (there are {', '.join(LESSONS)})")
    return importlib.import_module(f"pipeline.fit.{names[backend]}")


def fit_backend(
    backend: str,
    project: Project,
    *,
    out: Path,
    device: str = "auto",
    threads: int = 0,
    steps: int = 0,
    sheets: int = 0,
    minutes: float = 0,
    start: Path | None = None,
    stop: threading.Event | None = None,
    say: Callable[[str], None] = lambda _: None,
) -> dict[str, Any]:
    """Fit a backend's network; what was done, with `done` false where it was stopped before.

    0 means the recipe's own `steps` and `sheets` (of each view), no limit of `minutes`, and one of
    `threads` a core. `start` is a file of weights to begin with in place of random ones.
    """
    import torch

    from pipeline.backends.checkpoints import load_state
    from pipeline.fit import training

    lesson = lesson_of(backend)
    device = ("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else device
    torch.set_num_threads(threads or cores())
    recipe = replace(lesson.DEFAULTS, steps=steps) if steps else lesson.DEFAULTS
    began, stop = monotonic(), stop or threading.Event()
    counts = {view: sheets or count for view, count in lesson.SHEETS.items()}
    examples = gather(lesson, project.work / "fit" / "people", counts, threads or cores(), say)
    say(f"{backend}: {len(examples):,} examples, {recipe.steps:,} steps of {recipe.batch}")
    limit = threading.Timer(60 * minutes, stop.set)
    limit.daemon = True
    if minutes:
        limit.start()
    try:
        state, done = training.fit(
            lesson, recipe, examples, project.work / "fit", device=device, stop=stop,
            start=load_state(start, trusted=False) if start else None,
            say=lambda p: say(f"{p.step:,} of {p.steps:,} steps, loss {p.loss:.3f}, "
                              f"{p.images_per_second:.1f} examples/s"),
        )  # fmt: skip
    finally:
        limit.cancel()
    path = out / f"{lesson.WEIGHTS}.safetensors"
    write_weights(path, state)
    facts = {
        "backend": lesson.WEIGHTS, "recipe": asdict(recipe), "sheets": counts,
        "examples": len(examples), "done": done, "device": device,
        "machine": platform.machine(), "minutes_since_start": round((monotonic() - began) / 60, 1),
        "file": path.name, "bytes": path.stat().st_size, "sha256": sha256_of(path),
    }  # fmt: skip
    write_atomically(path.with_suffix(".json"), as_json(facts))
    return facts


def gather(
    lesson: ModuleType,
    folder: Path,
    counts: dict[str, int],
    workers: int,
    say: Callable[[str], None],
) -> list[Any]:
    """The examples of so many sheets of each view."""
    examples: list[Any] = []
    for view, count in counts.items():
        say(f"{view}: {count} sheets of rendered people in {folder}")
        for path in people.keep_sheets(folder, view, range(count), workers):
            examples += lesson.examples(people.read_sheet(path))
    return examples


def write_weights(path: Path, state: dict[str, Any]) -> None:
    """Tensors by name as safetensors, floating ones in half precision; all or nothing."""
    from safetensors.torch import save

    halves = {
        name: (value.half() if value.is_floating_point() else value).cpu().contiguous()
        for name, value in state.items()
    }
    write_atomically(path, save(halves))
