"""One folder per paper: all that is particular to it. `contract` says what a `Paper` is.

Their names are known without importing torch; a paper's value is imported when it is asked for.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from reid.project.errors import ReidError

if TYPE_CHECKING:
    from reid.papers.contract import Paper


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


PAPERS: dict[str, Callable[[], Paper[Any, Any]]] = {
    "attention_driven": _attention_driven,
    "implicit_attention": _implicit_attention,
    "strong_baseline": _strong_baseline,
    "multimodal_attention": _multimodal_attention,
    "mutual_attention": _mutual_attention,
    "attentive_convlstm": _attentive_convlstm,
}


def paper_of(name: str) -> Paper[Any, Any]:
    """The paper of that name; `ReidError` with the known names otherwise."""
    if name not in PAPERS:
        raise ReidError(f"no paper `{name}` (there are {', '.join(PAPERS)})")
    return PAPERS[name]()
