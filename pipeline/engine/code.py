"""Which code decides a build's rows: what its keys hold a fingerprint of, see `reid.code`."""

from __future__ import annotations

from collections.abc import Mapping

from pipeline.engine.stage import AnyStage
from reid.code.fingerprint import OUTSIDE, Code, Start, of
from reid.project.layout import Project
from reid.project.params import DerivedParams

WRITTEN = "reid.shards.folder:write_shard"
# They list what there is; each build's own entry is followed from elsewhere.
LISTS: Mapping[str, tuple[str, ...]] = {
    "pipeline.stages:STAGES": (),
    "pipeline.datasets:READERS": (),
}
LEFT_OUT = {
    "Stage": frozenset({"name", "libraries", "unmatched", "notes"}),
    # A listing is itself in the key.
    "Reader": frozenset({"info", "read", "split", "write", "locate"}),
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
    return of(Start(roots, chosen, LEFT_OUT), project.code)


def of_reader(name: str, project: Project) -> Code:
    """The code of the base rows that come through a reader."""
    roots = ("pipeline.datasets:READERS", "pipeline.stages.ingest:IngestWork", WRITTEN)
    chosen = {**LISTS, "pipeline.datasets:READERS": (name,)}
    return of(Start(roots, chosen, LEFT_OUT), project.code)


def of_texts(project: Project) -> str:
    """A fingerprint of what writes beside the rows: where it changes they are published anew."""
    outside = tuple(name for name in OUTSIDE if name != "pipeline.engine.data_card")
    return of(Start(TEXTS, outside=outside), project.code).fingerprint
