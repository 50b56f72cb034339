"""What the report's page is made of: one function a section, in the order of the page.

`DATA_SET` functions take a `BuiltData`, `EXPERIMENTS` ones take the `Runs` of one data set; each
returns a `Section`, or None where it has nothing to show.
"""

from __future__ import annotations

from collections.abc import Callable

from reid.report.blocks import Section
from reid.report.sections import (
    attention,
    counts,
    masks,
    overhead,
    overhead_attention,
    overhead_curves,
    pictures,
    ranked,
    scores,
    swap_scores,
    swaps,
    video,
    video_attention,
    video_lengths,
    video_places,
    viewpoints,
)
from reid.results.built import BuiltData, Runs

DATA_SET: tuple[Callable[[BuiltData], Section | None], ...] = (
    counts.roles,
    counts.spread,
    counts.stages,
    counts.parts,
    pictures.identities,
    pictures.bodies,
    overhead.frames,
    video.tracklets,
    masks.over_images,
    viewpoints.clusters,
    swaps.partners,
    swaps.sheet,
    swaps.made,
    counts.rejects,
)
EXPERIMENTS: tuple[Callable[[Runs], Section | None], ...] = (
    scores.metrics,
    scores.cmc,
    overhead_curves.curves,
    video_lengths.by_length,
    swap_scores.by_probability,
    scores.training,
    ranked.lists,
    attention.maps,
    overhead_attention.maps,
    video_attention.activations,
    video_places.places,
    scores.settings,
)
