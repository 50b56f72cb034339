"""Which code decides a build's rows: what its keys hold a fingerprint of, see `reid.code`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipeline.engine.stage import AnyStage
from reid.code.fingerprint import OUTSIDE, Code, Start, changes, of
from reid.project.layout import Project, as_json
from reid.project.params import DerivedParams

FILE = "code.json"  # beside a build's manifest: its definitions, each with its digest
WRITTEN = "reid.shards.folder:write_shard"
# They list what there is; each build's own entry is followed from elsewhere.
LISTS: Mapping[str, tuple[str, ...]] = {
    "pipeline.stages:STAGES": (),
    "pipeline.datasets:READERS": (),
}
LEFT_OUT = {
    "Stage": frozenset({"name", "libraries", "unmatched", "notes"}),
    "Reader": frozenset({"info", "read", "write", "locate"}),  # a listing is itself in the key
}
TEXTS = (  # what writes protocol.json and the data card
    "pipeline.engine.data_card:card",
    "pipeline.engine.protocols:counts",
    "pipeline.engine.protocols:carried",
)


def of_stage(stage: AnyStage, params: DerivedParams, project: Project) -> Code:
    """The code of a derived-data stage's rows, with the backend that the parameters choose."""
    chosen = dict(LISTS)
    if stage.backends():
        chosen[f"pipeline.backends.{stage.name}:BACKENDS"] = (str(vars(params)["backend"]),)
    roots = (f"{stage.build.__module__}:STAGE", "pipeline.engine.plan:MapWork", WRITTEN)
    return of(Start(roots, chosen, LEFT_OUT), _folder(project))


def of_reader(name: str, project: Project) -> Code:
    """The code of the base rows that come through a reader."""
    roots = ("pipeline.datasets:READERS", "pipeline.stages.ingest:IngestWork", WRITTEN)
    chosen = {**LISTS, "pipeline.datasets:READERS": (name,)}
    return of(Start(roots, chosen, LEFT_OUT), _folder(project))


def of_texts(project: Project) -> str:
    """A fingerprint of what writes beside the rows: where it changes they are published anew."""
    outside = tuple(name for name in OUTSIDE if name != "pipeline.engine.data_card")
    return of(Start(TEXTS, outside=outside), _folder(project)).fingerprint


def as_file(code: Code) -> bytes:
    """What `FILE` holds."""
    return as_json({"fingerprint": code.fingerprint, "definitions": code.definitions})


def published(folder: Path) -> Code | None:
    """The code that a published folder was built by; None where that is not told."""
    try:
        noted: Any = json.loads((folder / FILE).read_text("utf-8"))
        return Code({str(name): str(digest) for name, digest in noted["definitions"].items()})
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return None


def differences(before: Code | None, now: Code) -> str:
    """In words, which code is another now; empty where none is known to be."""
    if before is None:
        return ""
    lines = changes(before.definitions, now.definitions)
    shown = [line.replace(": ", ".", 1) for line in lines[:3]]
    more = f" and {len(lines) - 3} more" if len(lines) > 3 else ""
    return f"code: {', '.join(shown)}{more}" if lines else ""


def _folder(project: Project) -> Path:
    return project.work / "code"
