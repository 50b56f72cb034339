"""What the report's page is made of: one function a section, in the order of the page.

Functions of a data set take a `BuiltData`, those of experiments the `Runs` over one data set; each
returns a `Section`, or None where it has nothing to show. Papers have sections of their own.
"""

from __future__ import annotations

from collections.abc import Callable

from reid.papers import PAPERS
from reid.report.blocks import Section, Sections
from reid.report.sections import counts, masks, overhead, pictures, ranked, scores, video
from reid.results.built import BuiltData, Runs


def of_data_set() -> list[Callable[[BuiltData], Section | None]]:
    """The sections of a data set."""
    return [
        counts.roles, counts.spread, counts.stages, counts.parts,
        pictures.identities, pictures.bodies,
        overhead.frames, video.tracklets, masks.over_images,
        *(section for own in _of_papers() for section in own.data_set),
        counts.rejects,
    ]  # fmt: skip


def of_experiments() -> list[Callable[[Runs], Section | None]]:
    """The sections of the experiments on a data set."""
    return [
        scores.metrics, scores.cmc,
        *(section for own in _of_papers() for section in own.scores),
        scores.training, ranked.lists,
        *(section for own in _of_papers() for section in own.looks),
        scores.settings,
    ]  # fmt: skip


def _of_papers() -> list[Sections]:
    papers = (paper() for paper in PAPERS.values())
    return [paper.sections() for paper in papers if paper.sections is not None]
