"""A name that is not known, and the nearest one that is: for messages."""

from __future__ import annotations

import difflib
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
