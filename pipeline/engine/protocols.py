# pyarrow has no types:
# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false, reportUnknownParameterType=false
"""protocol.json beside a data set's shards: its rules of evaluation, and its counts."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa

from reid.project.layout import as_json
from reid.shards.folder import Shard
from reid.shards.protocol import protocols_of, with_digest

ROLES = ("train", "query", "gallery")


def counts(paths: list[Path]) -> dict[str, dict[str, int]]:
    """Images, identities and cameras by role, of built shards."""
    rows = pa.concat_tables([Shard(path).table(["person", "camera", *ROLES]) for path in paths])
    out = {}
    for role in ROLES:
        chosen = rows.filter(rows[role])
        people = {person for person in chosen["person"].unique().to_pylist() if person > 0}
        cameras = len(chosen["camera"].unique())
        out[role] = {"images": chosen.num_rows, "identities": len(people), "cameras": cameras}
    return out


def carried(base: Path, paths: list[Path]) -> dict[str, bytes]:
    """protocol.json of new rows that were made of the rows in the folder `base`: the same rules.

    The rules name members by columns and labels, which the new rows have too. Counts are those of
    the new rows; no published ones stand beside them.
    """
    rows = pa.concat_tables([Shard(path).table(["person"]) for path in paths])
    people = {person for person in rows["person"].unique().to_pylist() if person > 0}
    here = {"images": rows.num_rows, "identities": len(people)}
    rules = [{**rule, "published": {}, "found": here} for rule in protocols_of(base)["protocols"]]
    built = {"protocols": rules, "found": here, "built": counts(paths)}
    return {"protocol.json": as_json(with_digest(built))}
