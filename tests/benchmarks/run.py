"""How fast evaluation is, as ratios to limits measured in the same run.

A row is {name, value, limit, ratio, goal, holds}: `value` is ours and `limit` what it is held
against, in the unit that `name` says; `goal` compares `ratio`, or is None where nothing is asked.
"""

from __future__ import annotations

import statistics
import tempfile
import time
import tracemalloc
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from reid.evaluation import distances, metrics
from reid.evaluation.labels import Labels
from reid.evaluation.protocol import PROTOCOLS
from reid.project.errors import ReidError
from reid.project.layout import Project, as_json, write_atomically
from tests.benchmarks.turns import row

QUERIES, GALLERY, DISTRACTORS, PERSONS, CAMERAS = 3_368, 15_913, 2_798, 750, 6  # Market-1501
DIMENSIONS = 2_048
EXTRA_LIMIT_MB = 1_000
PROTOCOL = PROTOCOLS["market1501"]


@dataclass(frozen=True)
class Scene:
    """Features and labels with the counts of Market-1501."""

    query_feature: np.ndarray  # (Q, D) float32
    gallery_feature: np.ndarray  # (G, D)
    labels: Labels


def run(project: Project, images: int) -> list[dict[str, Any]]:
    """Every row, also written to 4-reports/bench.json; some minutes on two cores."""
    from tests.benchmarks.accuracy import rows_accuracy
    from tests.benchmarks.flow import rows_flow
    from tests.benchmarks.networks import rows_networks
    from tests.benchmarks.peers import rows_peers
    from tests.benchmarks.ray import rows_ray
    from tests.benchmarks.stages import rows_stages
    from tests.benchmarks.starts import rows_starts
    from tests.benchmarks.swaps import rows_swaps
    from tests.benchmarks.turns import rows_io

    rows: list[dict[str, Any]] = []
    project.work.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=project.work, prefix="bench-") as folder:
        rows += rows_io(Path(folder) / "io", images)
        rows += rows_peers(Path(folder) / "peers")
        rows += rows_stages(Path(folder) / "stages")
        rows += rows_starts(Path(folder) / "starts")
        rows += rows_swaps(Path(folder) / "swaps")
        rows += rows_flow(Path(folder) / "flow")
        rows += rows_networks(Path(folder) / "networks")
        rows += rows_training(Path(folder) / "io" / "data")
    rows += rows_evaluation()
    rows += rows_ray()  # none without ray
    rows += rows_accuracy(project)
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


def rows_evaluation(repeats: int = 3) -> list[dict[str, Any]]:
    """Market-scale CMC and mAP, and the product before it; about a minute on two cores."""
    scene = made_scene()
    return [*_ranking(scene, repeats), _product(scene, repeats)]


def _ranking(scene: Scene, repeats: int) -> list[dict[str, Any]]:
    blocks = distances.distance_blocks(scene.query_feature, scene.gallery_feature)
    distance = np.concatenate(list(blocks))
    _check_same(distance, scene)
    ours, plain = interleaved(
        lambda: metrics.evaluate_distance(distance, scene.labels, PROTOCOL),
        lambda: plain_evaluator(distance, scene.labels),
        repeats=repeats,
    )
    extra_mb = peak_mb(lambda: metrics.evaluate_distance(distance, scene.labels, PROTOCOL))
    name = f"CMC and mAP from distances {QUERIES:,} x {GALLERY:,}, a second (plain stable sort)"
    return [
        row(name, 1 / ours, 1 / plain, 10),
        row("its memory beyond the distances, MB", extra_mb, EXTRA_LIMIT_MB, 1, most=True),
    ]


def _product(scene: Scene, repeats: int) -> dict[str, Any]:
    query, gallery = scene.query_feature, scene.gallery_feature
    ours, product = interleaved(
        lambda: [block.shape for block in distances.distance_blocks(query, gallery)],
        lambda: query @ gallery.T,
        repeats=repeats,
    )
    return row(
        f"distances of {DIMENSIONS}-d features, a second (bare product)",
        1 / ours,
        1 / product,
        None,
    )


def made_scene(seed: int = 0) -> Scene:
    """Persons are points of a space of few dimensions, blurred by camera and image."""
    rng = np.random.default_rng(seed)
    distractor = np.zeros(DISTRACTORS, dtype=np.int64)
    query_person = rng.permutation(np.arange(QUERIES) % PERSONS + 1)
    own = np.arange(GALLERY - DISTRACTORS) % PERSONS + 1
    gallery_person = rng.permutation(np.concatenate([own, distractor]))
    query_camera, gallery_camera = (rng.integers(1, CAMERAS + 1, n) for n in (QUERIES, GALLERY))
    latent = 64
    identity = rng.standard_normal((PERSONS + 1, latent))
    view = 0.6 * rng.standard_normal((CAMERAS + 1, latent))
    spread = rng.standard_normal((latent, DIMENSIONS), dtype=np.float32)

    def features(person: np.ndarray, camera: np.ndarray) -> np.ndarray:
        noise = rng.standard_normal((len(person), latent))
        centre = np.where(person[:, None] > 0, identity[person], 0)  # a distractor is near nobody
        alone = np.where(person[:, None] > 0, 0, rng.standard_normal((len(person), latent)))
        return (centre + alone + view[camera] + 0.8 * noise).astype(np.float32) @ spread

    return Scene(
        features(query_person, query_camera),
        features(gallery_person, gallery_camera),
        Labels.of(query_person, query_camera, gallery_person, gallery_camera),
    )


def plain_evaluator(distance: np.ndarray, labels: Labels) -> tuple[np.ndarray, float]:
    """CMC (50,) and rectangle mAP with a stable sort of every row: what ours is held against."""
    curve, average = np.zeros(50), []
    queries = zip(distance, labels.query_person, labels.query_camera, strict=True)
    for line, person, camera in queries:
        order = np.argsort(line, kind="stable")
        same = labels.gallery_person[order] == person
        match = same[~(same & (labels.gallery_camera[order] == camera))]
        ranks = np.flatnonzero(match) + 1
        if not len(ranks):
            continue
        curve[ranks[0] - 1 :] += 1
        average.append((np.arange(1, len(ranks) + 1) / ranks).mean())
    return curve / len(average), float(np.mean(average))


def interleaved(*calls: Callable[[], Any], repeats: int) -> list[float]:
    """The median seconds of each call, in turns, so that a busy machine slows all alike."""
    seconds: list[list[float]] = [[] for _ in calls]
    for _ in range(repeats):
        for call, taken in zip(calls, seconds, strict=True):
            start = time.perf_counter()
            call()
            taken.append(time.perf_counter() - start)
    return [statistics.median(taken) for taken in seconds]


def peak_mb(call: Callable[[], Any]) -> float:
    """The most memory that Python and NumPy held during a call, beyond what there was before."""
    tracemalloc.start()
    try:
        call()
        return tracemalloc.get_traced_memory()[1] / 1e6
    finally:
        tracemalloc.stop()


def _check_same(distance: np.ndarray, scene: Scene) -> None:
    curve, average = plain_evaluator(distance, scene.labels)
    ours = metrics.evaluate_distance(distance, scene.labels, PROTOCOL)
    if not np.allclose(ours.cmc, curve) or not np.isclose(ours.map_rectangle, average):
        raise ReidError(f"bench: mAP {ours.map_rectangle} and {average} by the plain evaluator")
