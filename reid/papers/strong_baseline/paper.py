"""The strong baseline alone, at its own size: implicit attention without swaps.

Reads   image
Source  Luo et al., Bag of tricks and a strong baseline for deep person re-identification, CVPRW
        2019, and its published code
Differs An image is resized to the network's size, not squared first; all else is
        `reid.papers.implicit_attention.paper`. None of its printed numbers stand here.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from reid.papers.contract import Method, Paper
from reid.papers.implicit_attention import paper as implicit_attention

if TYPE_CHECKING:
    from reid.papers.implicit_attention.network import StrongBaseline


class Params(implicit_attention.Params):
    """The published code's numbers where they differ from those of implicit attention."""

    swap_probability: Literal[0] = 0  # pyright: ignore[reportIncompatibleVariableOverride]
    height: int = Field(default=256, ge=32)
    width: int = Field(default=128, ge=32)
    epochs: int = Field(default=120, ge=1)


def method() -> Method[implicit_attention.Params, StrongBaseline]:
    """How it is computed: loads torch."""
    from reid.papers.strong_baseline.method import METHOD

    return METHOD


PAPER: Paper[implicit_attention.Params, StrongBaseline] = replace(
    implicit_attention.PAPER,
    name="strong_baseline",
    params=Params,
    tables={},
    claims=(),
    built={},
    method=method,
)
