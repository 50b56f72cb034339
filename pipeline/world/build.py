"""Renders a world and writes it in the official layout of a data set, its ground truth beside it.

Writes  0-raw/<name>/          as `pipeline.datasets.<layout>` writes it, and rendered.json, by
                               which ingest knows that no camera took these images
        0-raw/<name>.truth/    rows/*.parquet, see `truth`
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pipeline.datasets import reader
from pipeline.datasets.base import Sample, Writer
from pipeline.datasets.image_source import FILE, rendered_file
from pipeline.world.crowd import Scene
from pipeline.world.truth import Truth, write_truth
from reid.project.publish import publishing
from reid.project.threads import cores


def build_world(
    name: str, scene: Scene, layout: str, raw_root: Path, workers: int = 0
) -> dict[str, Any]:
    """Render a world into `raw_root`/`name`; 0 workers means one for each core.

    Nothing is seen under the final names before all of it is written; an earlier world of that
    name is replaced. Returns the counts of images, identities and roles.
    """
    write = reader(layout).write
    workers = workers or cores()
    raw_root = Path(raw_root)
    counts: Counter[str] = Counter()
    scene_name = type(scene).__module__.rpartition(".")[2]  # a scene is a module of that name
    with (
        publishing(raw_root / f"{name}.truth", raw_root / f".{name}.truth.making") as truth,
        publishing(raw_root / name, raw_root / f".{name}.making") as images,
    ):
        written = write_truth(truth, _written(write, images, scene.render(workers), counts))
        (images / FILE).write_bytes(rendered_file(name, scene_name, layout))
    return {"images": written, **dict(sorted(counts.items()))}


def _written(
    write: Writer, root: Path, shots: Iterator[tuple[Sample, Truth]], counts: Counter[str]
) -> Iterator[tuple[str, Truth, str | None]]:
    """(image_id, truth, next image_id) of each shot, in order, as the layout writes the images."""
    truths: deque[Truth] = deque()

    def samples() -> Iterator[Sample]:
        for sample, truth in shots:
            truths.append(truth)
            counts[sample.role] += 1
            yield sample

    held: tuple[str, Truth] | None = None
    for image_id in write(root, samples()):
        if held is not None:
            yield *held, image_id
        held = image_id, truths.popleft()
    if held is not None:
        yield *held, None
