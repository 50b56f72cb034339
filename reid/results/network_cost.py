"""What a paper's network costs, beside what the paper prints."""

from __future__ import annotations

from typing import Any

from reid.papers import paper_of


def paper_summary(paper: str) -> dict[str, list[dict[str, Any]]]:
    """Titled tables of a paper's network at its full size, beside what the paper prints."""
    return paper_of(paper).method().costs()
