"""Renders a world and writes it in the official layout of a data set, its truth beside it.

Writes  0-raw/<name>/          as `pipeline.datasets.<layout>` writes it, and rendered.json, by
                               which ingest knows that no camera took these images
        0-raw/<name>.truth/    rows/*.parquet, see `truth`
"""

from __future__ import annotations

import shutil
from collections import Counter, deque
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

from pipeline.datasets.base import Sample
from pipeline.datasets.image_source import FILE, rendered_file
from pipeline.world.crowd import Scene
from pipeline.world.truth import Truth, write_truth
from reid.project.errors import ReidError
from reid.project.threads import cores


def build_world(
    name: str, scene: Scene, layout: str, raw_root: Path, workers: int = 0
) -> dict[str, Any]:
    """Render a world into `raw_root`/`name`; 0 workers means one for each core.

    Nothing is seen under the final names before all of it is written; an earlier world of that
    name is replaced. Returns the counts of images, identities and roles.
    """
    module = _layout(layout)
    workers = workers or cores()
    raw_root = Path(raw_root)
    final = [raw_root / name, raw_root / f"{name}.truth"]
    making = [raw_root / f".{path.name}.making" for path in final]
    for path in making:
        shutil.rmtree(path, ignore_errors=True)
    making[0].mkdir(parents=True)
    counts: Counter[str] = Counter()
    written = write_truth(making[1], _written(module, making[0], scene.render(workers), counts))
    scene_name = type(scene).__module__.rpartition(".")[2]  # a scene is a module of that name
    (making[0] / FILE).write_bytes(rendered_file(name, scene_name, layout))
    for path, done in zip(final, making, strict=True):
        _replace(done, path)
    return {"images": written, **dict(sorted(counts.items()))}


def _layout(layout: str) -> ModuleType:
    from pipeline.datasets import reader

    module = reader(layout)
    if not hasattr(module, "write"):
        raise ReidError(f"world: the layout `{layout}` can be read, not written")
    return module


def _written(
    module: ModuleType, root: Path, shots: Iterator[tuple[Sample, Truth]], counts: Counter[str]
) -> Iterator[tuple[str, Truth, str | None]]:
    """(image_id, truth, next image_id) of each shot, in order, as the layout writes the images."""
    truths: deque[Truth] = deque()

    def samples() -> Iterator[Sample]:
        for sample, truth in shots:
            truths.append(truth)
            counts[sample.role] += 1
            yield sample

    held: tuple[str, Truth] | None = None
    for image_id in module.write(root, samples()):
        if held is not None:
            yield *held, image_id
        held = image_id, truths.popleft()
    if held is not None:
        yield *held, None


def _replace(made: Path, final: Path) -> None:
    """Put a finished folder in place of an earlier one."""
    old = final.with_name(f".{final.name}.old")
    shutil.rmtree(old, ignore_errors=True)
    if final.exists():
        final.rename(old)
    made.rename(final)
    shutil.rmtree(old, ignore_errors=True)
