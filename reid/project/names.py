"""Names in messages: one that is not known, the nearest that is, a metric as readers say it."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """`; did you mean ...?` with the nearest known name, or '' where none is near."""
    by_lower = {name.lower(): name for name in known}
    close = difflib.get_close_matches(word.lower(), by_lower, n=1)
    return f"; did you mean `{by_lower[close[0]]}`?" if close else ""


def unknown(what: str, word: str, known: Iterable[str]) -> str:
    """`no stage `prats`; did you mean `parts`? (there are parts, masks)`."""
    names = list(known)
    return f"no {what} `{word}`{did_you_mean(word, names)} (there are {', '.join(names) or 'none'})"


def heading(name: str) -> str:
    """A column's name as a reader says it: `r1`, `rank1` are rank-1, `map` is mAP."""
    name = re.sub(r"(^|[ _])(?:rank|r)(\d+)\b", lambda m: f"{m[1] and ' '}rank-{m[2]}", name)
    return re.sub(r"(^|[ _])m(ap|inp)\b", lambda m: f"{m[1] and ' '}m{m[2].upper()}", name)
