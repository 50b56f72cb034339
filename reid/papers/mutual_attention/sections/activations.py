"""Mutual attention: what the last maps respond to without and with it, as figure 5 of the paper."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from reid.arrays import images
from reid.arrays.flow import colour_wheel
from reid.experiments import Experiment
from reid.look import attention_maps
from reid.papers.mutual_attention import network as mutual_attention
from reid.papers.mutual_attention.samples import FIXED
from reid.report.blocks import Row, Section, Sheet, Text
from reid.report.sections import video_clips
from reid.report.sections.video_clips import Clip
from reid.results.built import Run, Runs

NAME = "mutual_attention"
FRAMES = 5  # of the paper's figure
SHEETS = 2  # networks with mutual attention that are shown
WITHOUT = ("two_stream", "one_stream")  # models that row (a) may be of


class Looked(NamedTuple):
    """A network, and what it looks at in the clip."""

    run: Run
    experiment: Experiment
    views: dict[str, np.ndarray]  # (T, h, w, c) as it gets them, before they are normalised
    maps: dict[str, np.ndarray]  # (T, h, w) activations by stream
    weights: dict[str, np.ndarray]  # (T,) by stream: a frame's weight in the clip, where it has one
    attention: np.ndarray | None  # (T, h, w): M


def activations(runs: Runs) -> Section | None:
    """Of networks with mutual attention, each beside the one without that is most like it."""
    found = _experiments(runs)
    attending = [(run, e) for run, e in found if e.params.model == "mutual"]
    named = [pair for pair in attending if pair[0] in runs.named] or attending[:1]
    sheets = [sheet for pair in named[:SHEETS] if (sheet := _sheet(runs, pair, found))]
    text = (
        f"What networks respond to in the first {FRAMES} frames of a query: the last "
        "convolutional maps, mean over channels, without attention (a) and with mutual attention "
        "(b), of images and of flow; and the attention M (c), with which the maps of an earlier "
        "layer of both streams are multiplied: 0.5 where either stream finds nothing, up to 1. "
        "Yellow is the greatest value of a row, violet its least, which stand beside it; so frames "
        "of a row can be compared, rows can not. A row whose values are all alike has no colours."
    )
    return Section("Figure 5: activations and mutual attention", [Text(text), *sheets]) if (
        sheets
    ) else None  # fmt: skip


def _experiments(runs: Runs) -> list[tuple[Run, Experiment]]:
    """The trained networks of the paper, first those that params.yaml names."""
    every = [run for run in [*runs.named, *runs.others] if run.paper == NAME]
    pairs = [(run, video_clips.experiment_of(runs, run)) for run in every]
    return [(run, experiment) for run, experiment in pairs if experiment is not None]


def _sheet(
    runs: Runs, attending: tuple[Run, Experiment], found: list[tuple[Run, Experiment]]
) -> Sheet | None:
    clip = video_clips.of_a_query(runs, attending[1], FRAMES)
    with_ = _look(runs, *attending, clip) if clip else None
    if clip is None or with_ is None:
        return None
    other = _most_alike(attending[1], found)
    without = _look(runs, *other, clip) if other else None
    frames = video_clips.frames_of(runs, clip)
    rows = [video_clips.row("frames", frames, clip), _flow(with_, frames, clip)]
    rows += _without(without, frames, clip) if without else []
    rows += [*_with(with_, frames, clip), _attention(with_, frames, clip)]
    return Sheet(rows, _caption(clip, with_, without), [f"frame {n}" for n in clip.frames])


def _most_alike(
    attending: Experiment, found: list[tuple[Run, Experiment]]
) -> tuple[Run, Experiment] | None:
    """The network without attention whose parameters differ in the fewest."""
    wanted = attending.described()

    def unlike(pair: tuple[Run, Experiment]) -> tuple[int, int]:
        given = pair[1].described()
        differ = sum(wanted.get(name) != given.get(name) for name in {*wanted, *given})
        return differ, WITHOUT.index(pair[1].params.model)

    return min((p for p in found if p[1].params.model in WITHOUT), key=unlike, default=None)


def _look(runs: Runs, run: Run, experiment: Experiment, clip: Clip) -> Looked | None:
    ready = video_clips.prepared(runs, experiment, clip)
    if ready is None:
        return None
    network, batch, views = ready
    assert isinstance(network, mutual_attention.VideoNetwork)
    maps = mutual_attention.activations(network, batch)
    weights = mutual_attention.frame_weights(network, batch)
    layers = mutual_attention.attention_maps(network, batch).get("image", {})
    first = {
        name: {n: each[0].numpy() for n, each in found.items()}
        for name, found in {"maps": maps, "weights": weights, "layers": layers}.items()
    }
    attention = next(iter(first.pop("layers").values()), None)
    return Looked(run, experiment, views, **first, attention=attention)


# -- rows ------------------------------------------------------------------------------------


def _flow(with_: Looked, frames: list[np.ndarray], clip: Clip) -> Row:
    """The flow that the network gets, in its size and by its maximum."""
    maximum_px = with_.experiment.params.flow_most_px
    height, width = frames[0].shape[:2]
    colours = [colour_wheel(flow / FIXED, maximum_px) for flow in with_.views["flow"]]
    shown = [images.resize(image, height, width) for image in colours]
    size = " x ".join(map(str, with_.views["flow"].shape[2:0:-1]))
    return video_clips.row("flow", shown, clip, note=f"as {size} px; full at {maximum_px:g} px")


def _without(without: Looked, frames: list[np.ndarray], clip: Clip) -> list[Row]:
    return [
        _heat(f"(a) without attention{_of(stream, without)}", frames, clip, maps)
        for stream, maps in without.maps.items()
    ]


def _with(with_: Looked, frames: list[np.ndarray], clip: Clip) -> list[Row]:
    """Activations of both streams, with the weight of each frame in the clip where it has one."""
    rows = []
    for stream, maps in with_.maps.items():
        weight = with_.weights.get(stream)
        labels = None if weight is None else [f"{w:.2f}" for w in weight.tolist()]
        title = f"(b) with attention{_of(stream, with_)}"
        rows.append(_heat(title, frames, clip, maps, labels))
    return rows


def _of(stream: str, looked: Looked) -> str:
    return f", {stream}" if len(looked.maps) > 1 else ""


def _attention(with_: Looked, frames: list[np.ndarray], clip: Clip) -> Row:
    assert with_.attention is not None  # of a network with mutual attention
    labels = [attention_maps.span(weights) for weights in with_.attention]
    return _heat("(c) attention M", frames, clip, with_.attention, labels)


def _heat(
    title: str, frames: list[np.ndarray], clip: Clip, weights: np.ndarray,
    labels: list[str] | None = None,
) -> Row:  # fmt: skip
    height, width = weights.shape[1:]
    note = f"{attention_maps.span(weights)}; {width} x {height} places"
    return video_clips.row(title, video_clips.heat(frames, weights), clip, labels, note)


def _caption(clip: Clip, with_: Looked, without: Looked | None) -> str:
    params = with_.experiment.params
    told = f"(b), (c): {_named(with_, clip)}, attention at layer {params.attention_layer}"
    told = f"(a): {_named(without, clip)}; {told}" if without else told
    return f"Query: {clip.told}. {told}.{_weighed(with_)}"


def _weighed(with_: Looked) -> str:
    """What the numbers below (b) are."""
    if not with_.weights:
        return ""
    params = with_.experiment.params
    told = " Below (b) what a frame is multiplied by in its stream's feature of the clip"
    if params.aggregation != "weighted_addition" or params.weighted_normalized:
        return f"{told}; the sum is one."
    least, most = np.exp([-1, 1])
    return f"{told}: {least:.2f} to {most:.2f}, by its likeness to the clip's reference."


def _named(looked: Looked, clip: Clip) -> str:
    """The network by its run and model, and where it ranks the query's true match."""
    params = looked.experiment.params
    ranked = looked.run.ranked.get(clip.ids[0], {})  # lists name a tracklet by its first frame
    rank = ranked.get("first_match")
    found = f", true match at rank {rank:,}" if rank else ""
    model = f"{params.model}, {params.aggregation}".replace("_", " ")
    return f"{looked.run.name} ({model}){found}"
