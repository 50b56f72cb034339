"""Mutations of names: odd, long, shortened, with other numbers, or with other endings."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path
from random import Random

LONGEST = 255  # bytes of a name in Linux's file systems
ODD = (
    "\n", "\r", "\t", "\x1b[31m", "\x07", "\u202e", "\u200b", "e\u0301", "\u00e9", "\u4eba",
    "\U0001f600", "#", "?", "*", "'", '"', "`", "$(touch x)", ";", "&", "|", "<script>", "%00",
    "%2e%2e", "\\", ":", "~", " ", "..", "[bold]", "{}", "{{7*7}}", "\udcff\udc80", "\ufeff",
)  # fmt: skip
NUMBERS = (
    "-1", "-0", "0", "00", "999999999999999999999", "2147483648", "4294967296", "-2147483649",
    "32768", "1e5", "0x10", "1.5", "NaN", "\u0663", "\uff11", "", "+1", "1_0",
)  # fmt: skip
ENDINGS = (".JPG", ".jpeg", ".png", ".jpg.jpg", ".gif", "", ".", ".jpg~", ".tmp", ".parquet")


def insert(random: Random, name: str) -> str:
    at = random.randrange(len(name) + 1)
    return name[:at] + random.choice(ODD) + name[at:]


def lengthen(random: Random, name: str) -> str:
    del random
    stem, dot, ending = name.rpartition(".")
    stem = stem if dot else name
    room = LONGEST - len(os.fsencode(name))
    return stem + "0" * room + (dot + ending if dot else "")


def shorten(random: Random, name: str) -> str:
    start = random.randrange(len(name))
    return name[:start] + name[start + random.randint(1, 4) :]


def renumber(random: Random, name: str) -> str:
    runs = list(re.finditer("[0-9]+", name))
    if not runs:
        return insert(random, name)
    run = random.choice(runs)
    new = random.choice(
        (*NUMBERS, "9" * len(run[0]), "0" * len(run[0]), run[0] + "0", "0" + run[0])
    )
    return name[: run.start()] + new + name[run.end() :]


def other_ending(random: Random, name: str) -> str:
    return name.rpartition(".")[0] + random.choice(ENDINGS)


def other_case(random: Random, name: str) -> str:
    del random
    return name.swapcase()


def hidden(random: Random, name: str) -> str:
    return random.choice((".", "._", "-", "--", "@", "~$")) + name


KINDS: tuple[Callable[[Random, str], str], ...] = (
    insert, lengthen, shorten, renumber, renumber, other_ending, other_case, hidden,
)  # fmt: skip


def rename(random: Random, path: Path) -> str:
    """Give a file or folder another name; in words, what was done."""
    kind = random.choice(KINDS)
    name = kind(random, path.name).replace("/", "_").replace("\0", "_")
    target = path.with_name(os.fsdecode(os.fsencode(name)[:LONGEST])) if name else path
    if name in ("", ".", "..") or os.path.lexists(target):
        return f"nothing ({kind.__name__} of {path.name!r})"
    path.rename(target)
    return f"{kind.__name__}: {path.name!r} is now {target.name!r}"
