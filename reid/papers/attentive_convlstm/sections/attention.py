"""Attentive ConvLSTM: which places and which frames of a clip its attention falls on."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from reid.experiments import Experiment
from reid.papers.attentive_convlstm.network import VideoNetwork, attention_maps, place_weights
from reid.report import plots
from reid.report.blocks import Figure, Section, Sheet, Text, svg
from reid.report.sections import video_clips
from reid.report.sections.pictures import evenly
from reid.report.sections.video_clips import Clip
from reid.results.built import Run, Runs

NAME = "attentive_convlstm"
FRAMES = 8  # of a clip that are shown
NETWORKS = 2  # that are shown


def places(runs: Runs) -> Section | None:
    """Of networks with attention the last step's over a clip of a query, and the frames' shares."""
    blocks: list[Sheet | Figure] = []
    for run in [run for run in [*runs.named, *runs.others] if run.paper == NAME]:
        experiment = video_clips.experiment_of(runs, run) if len(blocks) < 2 * NETWORKS else None
        if experiment is not None and experiment.params.attention_filters:
            blocks += _blocks(runs, run, experiment)
    text = (
        "What the attentive ConvLSTM weighs up in the first frames of a query: the attention A of "
        "its last step of refinement. Yellow is the greatest weight of the clip, violet its least; "
        "weights that are all alike have no colours. Below each frame its share of the attention. "
        "The network sees the middle of a frame; beyond it the colours of the rim go on."
    )
    return Section("Attention over a clip's places", [Text(text), *blocks]) if blocks else None


def _blocks(runs: Runs, run: Run, experiment: Experiment) -> list[Sheet | Figure]:
    clip = video_clips.of_a_query(runs, experiment, experiment.params.length)
    ready = video_clips.prepared(runs, experiment, clip) if clip else None
    if clip is None or ready is None:
        return []
    network, batch, _ = ready
    assert isinstance(network, VideoNetwork)
    with torch.inference_mode():
        weights = place_weights(network, batch)[0].numpy()  # (T, 10, 8), the sum one
        maps = attention_maps(network, batch)["image"]["attention"][0].numpy()  # (T, 64, 48)
    share = weights.sum((1, 2))
    return [_sheet(runs, run, clip, weights, maps), _shares(run, clip, share)]


def _sheet(runs: Runs, run: Run, clip: Clip, weights: np.ndarray, maps: np.ndarray) -> Sheet:
    """Frames of the clip above the attention over them, in colours of the whole clip."""
    frames = video_clips.frames_of(runs, clip)
    heat = video_clips.heat(frames, maps)
    chosen = evenly(len(frames), FRAMES).tolist()
    shown = replace(
        clip, ids=[clip.ids[i] for i in chosen], frames=[clip.frames[i] for i in chosen]
    )
    labels = [f"{100 * weights[i].sum():.2f} %" for i in chosen]
    low, high = (weights.size * float(end) for end in (weights.min(), weights.max()))
    note = f"{low:.2f} to {high:.2f} times what even weights would be"
    rows = [
        video_clips.row("frames", [frames[i] for i in chosen], shown),
        video_clips.row("attention", [heat[i] for i in chosen], shown, labels, note),
    ]
    count, height, width = weights.shape
    some = f", {len(chosen)} of them shown" if len(chosen) < count else ""
    caption = (
        f"{run.name}, query: {clip.told}. {count} frames{some}; {width} x {height} places of each."
    )
    return Sheet(rows, caption, [f"frame {n}" for n in shown.frames])


def _shares(run: Run, clip: Clip, share: np.ndarray) -> Figure:
    """Bars of all frames' shares."""
    told = "; ".join(
        f"{n}: {100 * s:.2f} %" for n, s in zip(clip.frames, share.tolist(), strict=True)
    )
    plot = plots.bars(
        [str(i + 1) for i in range(len(share))],
        {run.name: (100 * share).tolist()},
        "frame of the clip",
        "share of attention, %",
    )
    caption = (
        f"{run.name}: each frame's share of the clip's attention; even shares would be "
        f"{100 / len(share):.2f} %."
    )
    return Figure(svg(plot), f"Bars of the frames' shares of the attention. {told}.", caption)
