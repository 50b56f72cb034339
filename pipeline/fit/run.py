"""`reid fit-backend`: renders the people, fits one backend's network, and writes its weights.

Writes  <out>/<backend>.safetensors, the averaged weights in half precision, and <backend>.json:
        recipe, examples, how long it took and on what. A fit that was stopped goes on where it was.
"""

from __future__ import annotations

import platform
import threading
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any

from pipeline.fit import people
from reid.code.fingerprint import Start, of
from reid.project.errors import ReidError
from reid.project.layout import Project, as_json, key_of, sha256_of, write_atomically
from reid.project.threads import cores

if TYPE_CHECKING:
    from pipeline.fit.training import Lesson


def _masks() -> Lesson[Any, Any]:
    from pipeline.fit import masks

    return masks.LESSON


def _joints() -> Lesson[Any, Any]:
    from pipeline.fit import joints

    return joints.LESSON


def _crops() -> Lesson[Any, Any]:
    from pipeline.fit import crops

    return crops.LESSON


def _flow() -> Lesson[Any, Any]:
    from pipeline.fit import flow

    return flow.LESSON


LESSONS: dict[str, Callable[[], Lesson[Any, Any]]] = {  # by the backend's name
    "masks_torchvision": _masks,
    "joints_mmpose": _joints,
    "crops_ultralytics": _crops,
    "flow_ptlflow": _flow,
}


def lesson_of(backend: str) -> Lesson[Any, Any]:
    """What fits a backend; a stage's name will do too."""
    names = {**{name.partition("_")[0]: name for name in LESSONS}, **{n: n for n in LESSONS}}
    if backend not in names:
        raise ReidError(f"fit-backend: no `{backend}` (there are {', '.join(LESSONS)})")
    return LESSONS[names[backend]]()


def fitted_by(backend: str) -> Start:
    """Where the code starts that decides a backend's fitted weights."""
    roots = ("pipeline.fit.run:LESSONS", "pipeline.fit.run:gather", "pipeline.fit.training:FitTask",
             "reid.training.loop:Loop", "reid.training.devices:launched")  # fmt: skip
    return Start(roots, {"pipeline.fit.run:LESSONS": (backend,)})


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
    weights = load_state(start, trusted=False) if start else None
    device = ("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else device
    torch.set_num_threads(threads or cores())
    recipe = replace(lesson.defaults, steps=steps) if steps else lesson.defaults
    began, stop = monotonic(), stop or threading.Event()
    counts = {view: sheets or count for view, count in lesson.sheets.items()}
    examples = gather(lesson, project.work / "fit" / "people", counts, threads or cores(), say)
    say(f"{backend}: {len(examples):,} examples, {recipe.steps:,} steps of {recipe.batch}")
    code = of(fitted_by(lesson.weights), project.code).fingerprint
    begins_with = sha256_of(start) if start else ""
    limit = threading.Timer(60 * minutes, stop.set)
    limit.daemon = True
    if minutes:
        limit.start()
    try:
        state, done = training.fit(
            lesson, recipe, examples, project.work / "fit", device=device, stop=stop,
            code=key_of([code, begins_with]),
            start=weights,
        )  # fmt: skip
    finally:
        limit.cancel()
    path = out / f"{lesson.weights}.safetensors"
    write_weights(path, state)
    facts = {
        "backend": lesson.weights, "recipe": asdict(recipe), "sheets": counts, "start": begins_with,
        "examples": len(examples), "done": done, "device": device,
        "machine": platform.machine(), "minutes_since_start": round((monotonic() - began) / 60, 1),
        "file": path.name, "bytes": path.stat().st_size, "sha256": sha256_of(path),
    }  # fmt: skip
    write_atomically(path.with_suffix(".json"), as_json(facts))
    return facts


def gather(
    lesson: Lesson[Any, Any],
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
