"""The page as HTML: chapters into fragments, fragments into one page with a strict policy.

The page may load nothing and runs the one script whose hash its policy names, so that nothing that
data brings can run. All text is escaped; control characters are shown.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from reid.report.blocks import Chapter, anchor, printable

METRIC = re.compile(r"(rank-\d+|\d+ %)")  # of a heading, on one line
TEMPLATES = Path(__file__).parent / "templates"


@dataclass(frozen=True)
class Drawn:
    """A chapter as HTML, and what the contents say of it."""

    title: str
    sections: list[list[str]]  # title and anchor of each
    html: str


def draw(chapter: Chapter) -> Drawn:
    """A chapter as HTML."""
    sections = [
        [printable(s.title), _anchor_of(chapter, i)] for i, s in enumerate(chapter.sections)
    ]
    template = _environment().get_template("chapter.html")
    return Drawn(
        printable(chapter.title), sections, template.render(chapter=chapter, sections=sections)
    )


def _anchor_of(chapter: Chapter, index: int) -> str:
    section = chapter.sections[index]
    return anchor(section.name or f"{chapter.title}/{index} {section.title}")


def page(chapters: Sequence[Drawn], first: str = "") -> str:
    """The whole page below the line `first`, which says what kind of data it is of."""
    style, script = ((TEMPLATES / name).read_text("utf-8") for name in ("page.css", "page.js"))
    policy = (
        f"default-src 'none'; img-src data:; style-src '{_hash(style)}'; "
        f"script-src '{_hash(script)}'; base-uri 'none'; form-action 'none'; "
        "require-trusted-types-for 'script'"
    )
    return _environment().get_template("report.html").render(
        chapters=chapters, first=first, style=style, script=script, policy=policy
    )  # fmt: skip


def _hash(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"


@cache
def _environment() -> Any:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(TEMPLATES), autoescape=True, undefined=StrictUndefined,
        trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True,
        finalize=lambda value: printable(value) if type(value) is str else value,
    )  # fmt: skip
    environment.filters |= {"anchor": anchor, "by_metric": METRIC.split}
    return environment
