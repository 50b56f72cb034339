"""reid.yaml: labels by a regular expression over the paths below the folder.

The expression is matched in a process of its own, which ends when it takes too long.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import warnings
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from pipeline.datasets.base import Reject
from pipeline.datasets.folder.labels import (
    ENDINGS,
    INTEGERS,
    LONGEST,
    ROLES,
    Row,
    content,
)
from pipeline.datasets.layouts import names
from reid.project.errors import ReidError
from reid.project.names import did_you_mean
from reid.project.params import check_depth

GROUPS = (*INTEGERS, "role")
KEYS = ("pattern", "roles", "published")
COUNTS = (
    *(name for role in ROLES for name in (role, f"{role}_identities")),
    "gallery_distractors",
    "gallery_junk",
)
MATCHED = 20_000  # names given to the process that matches
MATCH_SECONDS = 30  # so many take less than one; some patterns would take years


class Config(NamedTuple):
    """reid.yaml, checked."""

    pattern: str
    roles: dict[str, tuple[str, ...]]  # by folder name, or by what the group `role` holds
    published: dict[str, int]


def read_config(path: Path) -> Config:
    """reid.yaml, checked. Raises `ReidError`."""
    try:  # every scalar as text: no dates, no octal numbers
        text = content(path)
        check_depth(text)
        loaded = YAML(typ="base", pure=True).load(text)
    except (YAMLError, ValueError, RecursionError) as error:
        text = names.printable(" ".join(str(error).split())[:200])
        raise ReidError(f"{path}: not valid YAML (quote patterns by '): {text}") from None
    if not isinstance(loaded, dict) or not isinstance(loaded.get("pattern"), str):
        raise ReidError(f"{path}: must hold `pattern:`, a regular expression in single quotes")
    for key in loaded:
        if key not in KEYS:
            shown, meant = names.printable(str(key)[:60]), did_you_mean(str(key), KEYS)
            raise ReidError(f"{path}: no key `{shown}`{meant} (it may have {', '.join(KEYS)})")
    _check_pattern(path, loaded["pattern"])
    roles = {role: (role,) for role in ROLES}
    for name, value in _mapping(path, loaded, "roles").items():
        roles[name] = tuple(value) if isinstance(value, list) else (value,)
        if not roles[name] or not all(role in ROLES for role in roles[name]):
            raise ReidError(f"{path}: roles: `{names.printable(name[:60])}` must be one or a list "
                            f"of {', '.join(ROLES)}")  # fmt: skip
    published = {}
    for name, count in _mapping(path, loaded, "published").items():
        if name not in COUNTS:
            shown, meant = names.printable(name[:60]), did_you_mean(name, COUNTS)
            raise ReidError(f"{path}: published has no `{shown}`{meant} ({', '.join(COUNTS)})")
        if not isinstance(count, str) or not re.fullmatch("[0-9]{1,12}", count):
            raise ReidError(f"{path}: published: `{name}` must be a whole number")
        published[name] = int(count)
    return Config(loaded["pattern"], roles, published)


def _mapping(path: Path, loaded: dict[str, Any], key: str) -> dict[str, Any]:
    value = loaded.get(key) or {}
    if not isinstance(value, dict) or not all(isinstance(name, str) for name in value):
        raise ReidError(f"{path}: `{key}` must be names with values, such as {{train: ...}}")
    return value


def _check_pattern(path: Path, pattern: str) -> None:
    if len(pattern) > LONGEST:
        raise ReidError(f"{path}: pattern of {len(pattern):,} characters; at most {LONGEST}")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # such as a possible nested set
            groups = list(re.compile(pattern).groupindex)
    except (re.error, OverflowError, RecursionError) as error:
        text = names.printable(str(error))
        raise ReidError(f"{path}: pattern is no regular expression: {text}") from None
    for name in groups:
        if name not in GROUPS:
            raise ReidError(f"{path}: pattern has a group `{name}`{did_you_mean(name, GROUPS)} "
                            f"(it may have {', '.join(GROUPS)})")  # fmt: skip
    missing = [name for name in ("person", "camera") if name not in groups]
    if missing:
        first = missing[0]
        raise ReidError(f"{path}: pattern has no group {', '.join(missing)}; write one as "
                        f"(?P<{first}>[0-9]+)")  # fmt: skip


def named_rows(
    root: Path, config: Config, rejects: list[Reject], source: str = "the pattern of reid.yaml"
) -> Iterator[Row]:
    """A row for each image below `root` whose path matches; the others are rejects."""
    paths = _fit(_walk(root, rejects), rejects)
    while some := list(islice(paths, MATCHED)):
        for path, groups in zip(some, _matched(root, config.pattern, some), strict=True):
            if groups is None:
                rejects.append(Reject(path, f"does not match {source}"))
                continue
            folders = [name for name in path.split("/")[-2::-1] if name in config.roles]
            role = groups.pop("role", None) or (folders[0] if folders else "")
            roles = config.roles.get(role, (role,) if role else ())
            yield Row(path, {"path": path, **groups, "roles": roles})


def _fit(paths: Iterable[str], rejects: list[Reject]) -> Iterator[str]:
    """The paths that can be matched; the others are rejects."""
    for path in paths:
        if len(path) > LONGEST:
            reason = f"a path of {len(path)} characters; at most {LONGEST} are matched"
            rejects.append(Reject(names.printable(path), reason))
        elif names.printable(path) != path:
            rejects.append(Reject(names.printable(path), "a name that is not printable text"))
        else:
            yield path


def _walk(root: Path, rejects: list[Reject]) -> Iterator[str]:
    """Paths below `root` of what is named as an image, in order; hidden folders are passed over."""

    def fail(error: OSError) -> None:
        raise ReidError(f"{error.filename}: cannot be read: {error.strerror}")

    for folder, folders, files in os.walk(root, onerror=fail):
        folders[:] = sorted(n for n in folders if n[0] != "." and not names.is_clutter(n))
        below = os.path.relpath(folder, root)
        prefix = "" if below == "." else f"{below}/"
        for name in folders:
            if os.path.islink(os.path.join(folder, name)):  # noqa: PTH114, PTH118 (odd bytes)
                shown = names.printable(f"{prefix}{name}")
                rejects.append(Reject(shown, "a link to a folder; these are not followed"))
        for name in sorted(files):
            if name.lower().endswith(ENDINGS) and not names.is_clutter(name):
                yield f"{prefix}{name}"


MATCHER = """
import json, re, sys, warnings
warnings.simplefilter("ignore")
pattern, paths = json.load(sys.stdin)
match = re.compile(pattern).fullmatch
matches = [match(path) for path in paths]
json.dump([m and m.groupdict() for m in matches], sys.stdout)
"""


def _matched(root: Path, pattern: str, paths: list[str]) -> list[dict[str, str | None] | None]:
    """The groups of each path, or None. In a process of its own: `re` knows no limit of time."""
    try:
        done = subprocess.run(
            [sys.executable, "-I", "-S", "-c", MATCHER], input=json.dumps([pattern, paths]),
            capture_output=True, encoding="ascii", check=True, timeout=MATCH_SECONDS,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        reason = f"pattern takes more than {MATCH_SECONDS} s; simplify repeats of repeats: (a+)+"
        raise ReidError(f"{root}/reid.yaml: {reason}") from None
    except (subprocess.CalledProcessError, OSError) as error:
        raise ReidError(f"{root}/reid.yaml: pattern cannot be matched: {error}") from None
    return json.loads(done.stdout)
