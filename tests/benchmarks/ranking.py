"""`python -m tests.benchmarks.ranking`: CMC, mAP and re-ranking against a plain sort and peers.

All get the same float32 distances, and their figures must agree. Seconds are those of the
processor, of all threads, medians of several turns. Memory is what Python and NumPy hold at most
beyond what was there before.
"""

from __future__ import annotations

import statistics
import time
import tracemalloc
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from pipeline.commands.console import Json, show, table
from reid.evaluation import metrics
from reid.evaluation.distances import distance_blocks
from reid.evaluation.labels import Labels
from reid.evaluation.protocol import PROTOCOLS
from reid.evaluation.rerank import rerank
from reid.project.errors import ReidError
from tests.benchmarks import evaluators
from tests.benchmarks.turns import row

CAMERAS, DIMENSIONS = 6, 2_048
GOAL = 6.0  # times the fastest peer
EXTRA_LIMIT_MB = 1_000
PROTOCOL = PROTOCOLS["market1501"]
EQUAL = 1e-6  # figures and re-ranked distances of all
FLOAT32_SUM = 1e-4  # torchreid's compiled mAP is a sum of float32 over all queries
PART = 10  # torchreid's Python ranks each tenth query


@dataclass(frozen=True)
class Scale:
    """How much of what a test has: a data set's published numbers."""

    name: str
    queries: int
    gallery: int  # without junk
    distractors: int  # in the gallery
    persons: int


MARKET = Scale("Market", 3_368, 15_913, 2_798, 750)
MARS = Scale("MARS", 1_980, 9_330, 3_000, 626)  # tracklets


@dataclass(frozen=True)
class Scene:
    """Features and labels of a scale."""

    query_feature: np.ndarray  # (Q, D) float32
    gallery_feature: np.ndarray  # (G, D)
    labels: Labels


def rows_ranking(
    folder: Path | None, scales: tuple[Scale, ...] = (MARKET, MARS), repeats: int = 3
) -> list[dict[str, Any]]:
    """Rows of each scale; those of peers where `folder` has them."""
    if folder is not None:
        evaluators.check(folder)
    rows = []
    for scale in scales:
        scene = made_scene(scale)
        distance = _matrix(scene.query_feature, scene.gallery_feature)
        shown = f"{scale.name} scale {scale.queries:,} x {scale.gallery:,}"
        rows += _ranking(distance, scene.labels, shown, folder, repeats)
        rows.append(_product(scene, shown, repeats))
        if folder is not None:
            rows += _reranking(scene, distance, shown, folder)
    return rows


def _ranking(
    distance: np.ndarray, labels: Labels, shown: str, folder: Path | None, repeats: int
) -> list[dict[str, Any]]:
    part = _each(labels, PART)

    def ours() -> tuple[float, float]:
        return _figures(metrics.evaluate_distance(distance, labels, PROTOCOL))

    def ours_in_part() -> tuple[float, float]:
        return _figures(metrics.evaluate_distance(distance[::PART], part, PROTOCOL))

    against: dict[str, tuple[Any, Any, float, float]] = {
        "plain stable sort": (ours, lambda: plain_evaluator(distance, labels), EQUAL, 10)
    }
    if folder is not None:
        for name, within in ((evaluators.TORCHREID, FLOAT32_SUM), (evaluators.FASTREID, EQUAL)):
            call = _compiled(folder, name, distance, labels)
            against[f"{name}, compiled"] = (ours, call, within, GOAL)
        in_python = f"{evaluators.TORCHREID}, Python; each tenth query"
        call = lambda: evaluators.plain_python(folder, distance[::PART], part)  # noqa: E731
        against[in_python] = (ours_in_part, call, EQUAL, GOAL)
    rows = []
    for name, (mine, other, within, goal) in against.items():
        _agree(name, mine(), other(), within)
        seconds, limit = interleaved(mine, other, repeats=repeats)
        rows.append(row(f"CMC and mAP, {shown}, a second ({name})", 1 / seconds, 1 / limit, goal))
    memory = row(f"its memory, {shown}, MB", peak_mb(ours), EXTRA_LIMIT_MB, 1, most=True)
    return [*rows, memory]


def _compiled(folder: Path, name: str, distance: np.ndarray, labels: Labels) -> Callable[[], Any]:
    return lambda: evaluators.compiled(folder, name, distance, labels)


def _product(scene: Scene, shown: str, repeats: int) -> dict[str, Any]:
    query, gallery = scene.query_feature, scene.gallery_feature
    ours, product = interleaved(
        lambda: [block.shape for block in distance_blocks(query, gallery)],
        lambda: query @ gallery.T,
        repeats=repeats,
    )
    name = f"distances of {DIMENSIONS}-d features, {shown}, a second (bare product)"
    return row(name, 1 / ours, 1 / product, None)


def _reranking(
    scene: Scene, distance: np.ndarray, shown: str, folder: Path
) -> list[dict[str, Any]]:
    """Re-ranking as a whole, with the distances it needs, and what comes on top of them.

    The peers want a root, which they square, and all distances among queries and gallery.
    """
    query, gallery = scene.query_feature, scene.gallery_feature
    everyone = np.concatenate([query, gallery])
    product = _seconds(lambda: [block.shape for block in distance_blocks(everyone, everyone)])
    again = _seconds(lambda: [block.shape for block in distance_blocks(query, gallery)])
    found: list[np.ndarray] = []
    ours = _seconds(lambda: found.append(_whole(rerank(query, gallery))))
    given = (_root(distance), _root(_matrix(query, query)), _root(_matrix(gallery, gallery)))
    rows = []
    for name in evaluators.RERANKING:
        theirs = _seconds(lambda name=name: found.append(evaluators.reranked(folder, name, *given)))
        _agree(f"re-ranking by {name}", 0.0, np.abs(found.pop() - found[0]).max(), EQUAL)
        whole, beyond = f"re-ranking, {shown}, a second ({name})", "without products"
        rows.append(row(whole, 1 / ours, 1 / (theirs + product), None))
        rows.append(row(f"the same {beyond}", 1 / (ours - product - again), 1 / theirs, GOAL))
    held = peak_mb(lambda: _whole(rerank(query, gallery)))
    limit = peak_mb(lambda: evaluators.reranked(folder, evaluators.TORCHREID, *given))
    name = f"its memory, {shown}, MB ({evaluators.TORCHREID})"
    return [*rows, row(name, held, limit, 0.125, most=True)]


def _matrix(query: np.ndarray, gallery: np.ndarray) -> np.ndarray:
    return _whole(distance_blocks(query, gallery))


def _whole(blocks: Any) -> np.ndarray:
    return np.concatenate(list(blocks))


def _root(distance: np.ndarray) -> np.ndarray:
    return np.sqrt(distance.clip(0))


def _each(labels: Labels, step: int) -> Labels:
    query = labels.query_person[::step], labels.query_camera[::step]
    return Labels.of(*query, labels.gallery_person, labels.gallery_camera)


def _figures(result: metrics.Result) -> tuple[float, float]:
    return result.rank1, result.map_rectangle


def _agree(name: str, ours: Any, theirs: Any, within: float) -> None:
    if not np.allclose(ours, theirs, rtol=0, atol=within):
        raise ReidError(f"bench: {ours} of ours, {theirs} by the {name}")


def made_scene(scale: Scale = MARKET, seed: int = 0) -> Scene:
    """Persons are points of a space of few dimensions, blurred by camera and image."""
    rng = np.random.default_rng(seed)
    distractor = np.zeros(scale.distractors, dtype=np.int64)
    query_person = rng.permutation(np.arange(scale.queries) % scale.persons + 1)
    own = np.arange(scale.gallery - scale.distractors) % scale.persons + 1
    gallery_person = rng.permutation(np.concatenate([own, distractor]))
    counts = (scale.queries, scale.gallery)
    query_camera, gallery_camera = (rng.integers(1, CAMERAS + 1, n) for n in counts)
    latent = 64
    identity = rng.standard_normal((scale.persons + 1, latent))
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


def plain_evaluator(distance: np.ndarray, labels: Labels) -> tuple[float, float]:
    """Rank-1 and rectangle mAP with a stable sort of every row."""
    first, average = [], []
    queries = zip(distance, labels.query_person, labels.query_camera, strict=True)
    for line, person, camera in queries:
        order = np.argsort(line, kind="stable")
        same = labels.gallery_person[order] == person
        match = same[~(same & (labels.gallery_camera[order] == camera))]
        ranks = np.flatnonzero(match) + 1
        if len(ranks):
            first.append(ranks[0] == 1)
            average.append((np.arange(1, len(ranks) + 1) / ranks).mean())
    return float(np.mean(first)), float(np.mean(average))


def interleaved(*calls: Callable[[], Any], repeats: int) -> list[float]:
    """The median seconds of each call, in turns, so that a busy machine slows all alike."""
    taken = [[_seconds(call) for call in calls] for _ in range(repeats)]
    return [statistics.median(each) for each in zip(*taken, strict=True)]


def _seconds(call: Callable[[], Any]) -> float:
    start = time.process_time()
    call()
    return time.process_time() - start


def peak_mb(call: Callable[[], Any]) -> float:
    """The most memory that Python and NumPy held during a call, beyond what there was before."""
    tracemalloc.start()
    try:
        call()
        return tracemalloc.get_traced_memory()[1] / 1e6
    finally:
        tracemalloc.stop()


def main(
    folder: Annotated[
        Path | None, typer.Option("--peers", envvar="REID_PEERS", help="Where their clones lie.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Measure, and print a table; a quarter of an hour and 11 GB with peers."""
    rows = rows_ranking(folder)

    def lines() -> None:
        columns = ["name", "value", "limit", "ratio", "goal", "holds"]
        table("ranking", columns, [[one.get(c, "") for c in columns] for one in rows])
        if folder is None:
            typer.echo(f"without peers: {evaluators.HOW}")

    show(rows, as_json, lines)


if __name__ == "__main__":
    typer.run(main)
