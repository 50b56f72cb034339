"""The code that made a published result, in a file beside it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from reid.code.fingerprint import Code, changes
from reid.project.layout import as_json

FILE = "code.json"  # the code's definitions, each with its digest
SHOWN = 3  # of the definitions that differ


def as_file(code: Code) -> bytes:
    """The content of `FILE`."""
    return as_json({"fingerprint": code.fingerprint, "definitions": code.definitions})


def published(folder: Path) -> Code | None:
    """The code that made a published folder; None where its `FILE` is absent or damaged."""
    try:
        noted: Any = json.loads((folder / FILE).read_text("utf-8"))
        return Code({str(name): str(digest) for name, digest in noted["definitions"].items()})
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return None


def differences(before: Code | None, now: Code) -> str:
    """In words, which code has changed since `before`; empty where none has, or none is known."""
    if before is None:
        return ""
    lines = changes(before.definitions, now.definitions)
    shown = [line.replace(": ", ".", 1) for line in lines[:SHOWN]]
    more = f" and {len(lines) - SHOWN} more" if len(lines) > SHOWN else ""
    return f"code: {', '.join(shown)}{more}" if lines else ""
