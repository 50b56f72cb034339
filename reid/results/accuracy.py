"""What `reid accuracy` has measured, of builds that are still what was measured.

Reads   4-reports/accuracy/<stage>-<build>.json and the manifest of its build
"""

from __future__ import annotations

import json
from typing import Any

from reid.project.errors import ReidError
from reid.project.layout import Project, key_of
from reid.shards.manifest import Manifest, read_manifest


def digest_of(manifest: Manifest) -> str:
    """A name for the bytes of all shards of a build."""
    return key_of([shard["sha256"] for shard in manifest["shards"]])


def current(project: Project) -> list[dict[str, Any]]:
    """What was measured of builds that are still the same, in the order of the files' names."""
    found = []
    for path in sorted((project.reports / "accuracy").glob("*.json")):
        try:
            read = json.loads(path.read_text("utf-8"))
            manifest = read_manifest(project.derived(read["stage"], read["build"]))
            there = manifest is not None and read["shards"] == digest_of(manifest)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ReidError(f"{path}: cannot be read ({error!r}); remove it") from None
        if there:
            found.append(read)
    return found
