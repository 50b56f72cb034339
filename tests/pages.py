"""README.md and docs/ as the tests read them: fences, code within lines, links, headings."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
FENCE = re.compile(r"^```(?P<info>[^\n`]*)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
INLINE = re.compile(r"(?<!`)`([^`\n]+)`(?!`)")
LINK = re.compile(r"\]\(([^)\s]+)\)")
NOT_RUN = "text"  # in the info string of a fence that no test runs or reads


class Fence(NamedTuple):
    """A fenced block: where it begins, what it says it is, and what is in it."""

    page: str  # below the root
    line: int
    info: list[str]
    text: str

    @property
    def language(self) -> str:
        """What a test has to make of it; empty where it is marked as not run."""
        return "" if NOT_RUN in self.info else (self.info or ["none"])[0]


def name_of(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def fences(language: str = "") -> list[Fence]:
    """All fences of all pages, or those of one language that are not marked as not run."""
    out: list[Fence] = []
    for page in PAGES:
        text = page.read_text("utf-8")
        for match in FENCE.finditer(text):
            line = text.count("\n", 0, match.start()) + 1
            out.append(Fence(name_of(page), line, match["info"].split(), match["text"]))
    return [fence for fence in out if not language or fence.language == language]


def prose(page: Path) -> str:
    """A page without its fences."""
    return FENCE.sub("", page.read_text("utf-8"))


def inline(page: Path) -> list[str]:
    """What stands in backticks within a page's lines."""
    return INLINE.findall(prose(page))


def links(page: Path) -> list[str]:
    """Where a page's links go."""
    return LINK.findall(INLINE.sub("", prose(page)))


def anchors(page: Path) -> set[str]:
    """What a link into a page may name: its headings, as GitHub spells them."""
    headings = re.findall(r"^#+ (.+)$", prose(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
