"""What the report's page is made of: one function a section, in the order of the page.

Functions of a data set take a `BuiltData`, those of experiments the `Runs` over one data set; each
returns a `Section`, or None where it has nothing to show. Papers have sections of their own.
"""

from __future__ import annotations

from collections.abc import Callable

from reid.papers import PAPERS
from reid.papers.sections import SECTIONS
from reid.report.blocks import Section, Sections
from reid.report.sections import counts, masks, overhead, pictures, queries, ranked, scores, video
from reid.results.built import BuiltData, Runs


def of_data_set(built: BuiltData) -> list[Section | None]:
    """The sections of a data set."""
    drawn: list[Callable[[BuiltData], Section | None]] = [
        counts.roles, counts.spread, counts.stages, counts.parts,
        pictures.identities, pictures.bodies,
        overhead.frames, video.tracklets, masks.over_images,
        *(section for own in _of_papers() for section in own.data_set),
        counts.rejects,
    ]  # fmt: skip
    return [section(built) for section in drawn]


def of_experiments(runs: Runs) -> list[Section | None]:
    """The sections of the experiments on a data set."""
    papers = _of_papers()
    return [
        scores.metrics(runs), scores.cmc(runs), *queries.each(runs),
        *(section(runs) for own in papers for section in own.scores),
        scores.training(runs), ranked.lists(runs),
        *(section(runs) for own in papers for section in own.looks),
        scores.settings(runs),
    ]  # fmt: skip


def _of_papers() -> list[Sections]:
    return [SECTIONS[paper]() for paper in PAPERS if paper in SECTIONS]
