"""The papers' own sections of the report, by paper: a paper itself knows no page."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from reid.report.blocks import Sections


def _attention_driven() -> Sections:
    from reid.papers.attention_driven.sections import SECTIONS

    return SECTIONS


def _implicit_attention() -> Sections:
    from reid.papers.implicit_attention.sections import SECTIONS

    return SECTIONS


def _multimodal_attention() -> Sections:
    from reid.papers.multimodal_attention.sections import SECTIONS

    return SECTIONS


def _mutual_attention() -> Sections:
    from reid.papers.mutual_attention.sections import SECTIONS

    return SECTIONS


def _attentive_convlstm() -> Sections:
    from reid.papers.attentive_convlstm.sections import SECTIONS

    return SECTIONS


SECTIONS: dict[str, Callable[[], Sections]] = {
    "attention_driven": _attention_driven,
    "implicit_attention": _implicit_attention,
    "multimodal_attention": _multimodal_attention,
    "mutual_attention": _mutual_attention,
    "attentive_convlstm": _attentive_convlstm,
}
