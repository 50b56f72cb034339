"""One folder per paper: all that is particular to it. `contract` says what a `Paper` is.

Their names, and the experiments that `reid add` writes, are known without importing torch; a
paper's value is imported when it is asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from reid.project.errors import ReidError
from reid.project.names import unknown

if TYPE_CHECKING:
    from reid.papers.contract import Paper
    from reid.papers.full_size import FullSize


def _attention_driven() -> Paper[Any, Any]:
    from reid.papers.attention_driven.paper import PAPER

    return PAPER


def _implicit_attention() -> Paper[Any, Any]:
    from reid.papers.implicit_attention.paper import PAPER

    return PAPER


def _strong_baseline() -> Paper[Any, Any]:
    from reid.papers.strong_baseline.paper import PAPER

    return PAPER


def _multimodal_attention() -> Paper[Any, Any]:
    from reid.papers.multimodal_attention.paper import PAPER

    return PAPER


def _mutual_attention() -> Paper[Any, Any]:
    from reid.papers.mutual_attention.paper import PAPER

    return PAPER


def _attentive_convlstm() -> Paper[Any, Any]:
    from reid.papers.attentive_convlstm.paper import PAPER

    return PAPER


def _attention_driven_full_size() -> Mapping[str, FullSize]:
    from reid.papers.attention_driven.full_size import FULL_SIZE

    return FULL_SIZE


def _implicit_attention_full_size() -> Mapping[str, FullSize]:
    from reid.papers.implicit_attention.full_size import FULL_SIZE

    return FULL_SIZE


def _strong_baseline_full_size() -> Mapping[str, FullSize]:
    from reid.papers.strong_baseline.full_size import FULL_SIZE

    return FULL_SIZE


def _multimodal_attention_full_size() -> Mapping[str, FullSize]:
    from reid.papers.multimodal_attention.full_size import FULL_SIZE

    return FULL_SIZE


def _mutual_attention_full_size() -> Mapping[str, FullSize]:
    from reid.papers.mutual_attention.full_size import FULL_SIZE

    return FULL_SIZE


def _attentive_convlstm_full_size() -> Mapping[str, FullSize]:
    from reid.papers.attentive_convlstm.full_size import FULL_SIZE

    return FULL_SIZE


PAPERS: dict[str, Callable[[], Paper[Any, Any]]] = {
    "attention_driven": _attention_driven,
    "implicit_attention": _implicit_attention,
    "strong_baseline": _strong_baseline,
    "multimodal_attention": _multimodal_attention,
    "mutual_attention": _mutual_attention,
    "attentive_convlstm": _attentive_convlstm,
}
FULL_SIZE: dict[str, Callable[[], Mapping[str, FullSize]]] = {
    "attention_driven": _attention_driven_full_size,
    "implicit_attention": _implicit_attention_full_size,
    "strong_baseline": _strong_baseline_full_size,
    "multimodal_attention": _multimodal_attention_full_size,
    "mutual_attention": _mutual_attention_full_size,
    "attentive_convlstm": _attentive_convlstm_full_size,
}


def paper_of(name: str) -> Paper[Any, Any]:
    """The paper of that name; `ReidError` with the known names otherwise."""
    if name not in PAPERS:
        raise ReidError(unknown("paper", name, PAPERS))
    return PAPERS[name]()


def full_size_of(reader: str) -> dict[str, FullSize]:
    """By paper what it trains at its own size on the data sets of a reader."""
    every = {name: given() for name, given in FULL_SIZE.items()}
    return {name: given[reader] for name, given in every.items() if reader in given}
