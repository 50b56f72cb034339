"""Persons by the mean colour of their images, through one linear layer.

Reads   image; `toy_colour`, its mean colour
Source  made up, for a test
Differs from nothing
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from reid.papers.toy_paper.params import Params, columns, stages

from reid.papers.contract import Method, Paper

if TYPE_CHECKING:
    from reid.papers.toy_paper.method import ColourNetwork


def method() -> Method[Params, ColourNetwork]:
    """How it is computed: loads torch."""
    from reid.papers.toy_paper.method import METHOD

    return METHOD


PAPER: Paper[Params, ColourNetwork] = Paper(
    name="toy_paper",
    params=Params,
    columns=columns,
    stages=stages,
    test_only=("distance",),
    tables={},
    left_open=frozenset(),
    scale=frozenset(),
    method=method,
)
