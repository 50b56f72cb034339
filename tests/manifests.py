"""manifest.json of a folder that a test made without the engine."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from reid.project.layout import as_json, sha256_of


def write_manifest(folder: Path, **more: Any) -> None:
    """List the shards in `folder`/rows; `more` overrides what else the manifest says."""
    shards = [
        {
            "name": path.name,
            "rows": pq.read_metadata(path).num_rows,
            "bytes": path.stat().st_size,
            "sha256": sha256_of(path),
        }
        for path in sorted((folder / "rows").iterdir())
    ]
    told = {
        "stage": folder.parent.name, "stage_version": 1, "dataset": "toy",
        "columns": [], "parameters": {}, "weights": "",
        "rows": sum(shard["rows"] for shard in shards), "rejects": 0, "shards": shards, **more,
    }  # fmt: skip
    (folder / "manifest.json").write_bytes(as_json(told))
