"""Attention from above: the maps of a pair of passages, as figure 4 of the paper shows them."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from reid.data.dataset import Data
from reid.experiments import Experiment
from reid.look import attention_maps
from reid.report.blocks import Row, Section, Sheet, Shot, Text, jpeg, small
from reid.results.built import Run, Runs
from reid.results.of_now import experiment_of_now
from reid.shards.folder import Shard

SHOWN_PX = 208  # height of a map
NAME = "multimodal_attention"
RUNS = 1  # networks that are shown
TITLES = {"rgb": "colour"}
BEYOND = 10  # a miss: the true match comes after so many


class Pair(NamedTuple):
    """A query and its true match, by the first image of each, and the rank of the match."""

    query: str
    match: str
    rank: int


def maps(runs: Runs) -> Section | None:
    """Of MAT a query that is a hit at rank-1 and one whose true match is beyond the top 10."""
    wanted = {"model": "mat", "test_feature": "fused"}
    tried = [
        run
        for run in runs.shown
        if run.metrics and all(run.params.get(k) == v for k, v in wanted.items())
    ]
    each = [(run, experiment_of_now(runs, run, NAME)) for run in tried]
    of_now = [(run, found) for run, found in each if found is not None]
    sheets = [sheet for run, found in of_now[:RUNS] for sheet in _sheets(runs, run, found)]
    text = (
        "What the network weighs up: over colour and depth the weights of the places of conv4 and "
        "of conv5, in the query and in its true match of the other view, arranged as in the "
        "paper's figure 4. Yellow is each map's greatest weight, violet its least; the picture "
        "below is in gray, so that colours are weights alone. The least and the greatest weight "
        "stand below it; all weights of a map have the sum one, so that 1.00 is a single place. Of "
        "a passage of several images the middle one is shown."
    )
    return Section("Figure 4: attention maps", [Text(text), *sheets]) if sheets else None


def _sheets(runs: Runs, run: Run, experiment: Experiment) -> list[Sheet]:
    """None where the network itself is not there."""
    if not (run.folder / "train" / "model.safetensors").is_file():
        return []
    data = experiment.open(runs.built.project)
    position = {image_id: i for i, image_id in enumerate(data.rows["image_id"].to_pylist())}
    out = []
    for pair in _pairs(run):
        if pair.query in position and pair.match in position:
            ends = [pair.query, pair.match]
            if run.params.get("pool", "none") != "none":
                ends = [_middle(data, position[end]) for end in ends]
            found = attention_maps.maps(experiment, runs.built.project, ends, "cpu")
            out.append(_sheet(run, data, pair, found))
    return out


# -- which pairs -----------------------------------------------------------------------------


def _pairs(run: Run) -> list[Pair]:
    """A hit, and a miss: one beyond the top 10, else the worst there is that is no hit."""
    ranks = {query: found["first_match"] for query, found in sorted(run.ranked.items())}
    hits = [query for query, rank in ranks.items() if rank == 1]
    worst = max(ranks.values(), default=0)
    limit = BEYOND if worst > BEYOND else max(1, worst - 1)
    misses = [query for query, rank in ranks.items() if rank > limit]
    matches = _matches(run) if ranks else {}
    chosen = [group[len(group) // 2] for group in (hits, misses) if group]
    return [Pair(q, matches[q], ranks[q]) for q in chosen if q in matches]


def _matches(run: Run) -> dict[str, str]:
    """Of each query the nearest gallery entry of its person, also beyond the list that is kept."""
    path = run.folder / "evaluate" / "features.parquet"
    if not path.is_file():
        return {}
    table = Shard(path).table()
    ids, person = np.array(table["image_id"].to_pylist(), object), table["person"].to_numpy()
    feature = np.stack(table["feature"].to_numpy())
    if (run.metrics or {}).get("distance") == "cosine":
        feature = feature / np.maximum(np.linalg.norm(feature, axis=1, keepdims=True), 1e-12)
    query, gallery = (
        np.flatnonzero(table[role].to_numpy(zero_copy_only=False)) for role in ("query", "gallery")
    )
    found = {}
    for i in query:
        own = gallery[(person[gallery] == person[i]) & (gallery != i)]
        if len(own):
            found[ids[i]] = ids[own[np.linalg.norm(feature[own] - feature[i], axis=1).argmin()]]
    return found


def _middle(data: Data, position: int) -> str:
    """The middle image of the passage that a row is of."""
    labels = np.stack([data.labels(name) for name in ("person", "camera", "tracklet")])
    passage = np.flatnonzero((labels == labels[:, position : position + 1]).all(0))
    return data.rows["image_id"][int(passage[len(passage) // 2])].as_py()


# -- pictures --------------------------------------------------------------------------------


def _sheet(run: Run, data: Data, pair: Pair, found: list[attention_maps.Maps]) -> Sheet:
    """Colour above depth; of the query and of its match the picture, conv4 and conv5."""
    ends = [dict(zip(each.weights, _shots(each), strict=True)) for each in found]
    rows = [
        Row(TITLES.get(view, view), [shot for end in ends for shot in end[view]])
        for view in ends[0]
    ]
    headings = [name for end in ("query", "true match") for name in (end, *found[0].layers)]
    verdict = "a hit" if pair.rank == 1 else "a miss" if pair.rank > BEYOND else "the worst query"
    query, match = (_described(data, each.image_id) for each in found)
    caption = (
        f"{run.name}, {verdict}: the true match is at rank {pair.rank:,}. Query: {query}. "
        f"True match: {match}. {_even(found[0])}"
    )
    return Sheet(rows, caption, headings)


def _even(found: attention_maps.Maps) -> str:
    """What a weight would be if all were alike."""
    places = {layer: w.size for of in found.weights.values() for layer, w in of.items()}
    shares = {layer: f"{1 / count:.4f}" for layer, count in places.items()}
    if len(set(shares.values())) == 1:
        return f"Even weights would be {next(iter(shares.values()))}."
    return f"Even weights would be {', '.join(f'{s} in {la}' for la, s in shares.items())}."


def _shots(found: attention_maps.Maps) -> list[list[Shot]]:
    out = []
    for view, line in zip(found.weights, attention_maps.rows(found), strict=True):
        told = ["", *(attention_maps.span(w) for w in found.weights[view].values())]
        names = [view, *(f"{view}, {layer}" for layer in found.weights[view])]
        out.append([
            Shot(jpeg(small(_enlarged(image), SHOWN_PX)), f"{found.image_id}, {name}", label)
            for image, name, label in zip(line, names, told, strict=True)
        ])  # fmt: skip
    return out


def _enlarged(image: np.ndarray) -> np.ndarray:
    """The smallest whole multiple of the picture that is as high as it is shown."""
    times = -(-SHOWN_PX // image.shape[0])
    return image.repeat(times, 0).repeat(times, 1)


def _described(data: Data, image_id: str) -> str:
    row: dict[str, Any] = next(
        row for row in data.rows.select(["image_id", "person", "camera"]).to_pylist()
        if row["image_id"] == image_id
    )  # fmt: skip
    return f"{image_id}, person {row['person']}, camera {row['camera']}"
