"""Tiny rendered worlds with every derived stage built, for tests of those who read the shards."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from pipeline.builds.scan import scan
from pipeline.commands.build import make_plan
from pipeline.engine import run as engine
from pipeline.stages import STAGES
from pipeline.world import build
from pipeline.world.scenes import scenes
from reid.project import params
from reid.project.layout import Project
from tests.test_flow import TINY


def build_tiny(
    root: Path, identities: int | None = None, papers: Mapping[str, Any] | None = None
) -> Project:
    """All worlds and stages of the tiny flow, without its trainings; some twenty seconds.

    `identities` are those of training, and `papers` sections of params.yaml, in place of its own.
    """
    root.mkdir(parents=True)
    sections = YAML(typ="safe").load(TINY) | {**(papers or {})}
    if identities:
        sections["world"]["with"]["train_identities"] = identities
    with (root / "params.yaml").open("w") as file:
        YAML().dump(sections, file)
    loaded = params.load(root)
    with contextlib.chdir(root):  # as the command does
        project = Project(Path())
        for name in loaded["world"]["on"]:
            layout, scene = scenes.of_world(loaded, name)
            build.build_world(name, scene, layout, project.raw(name).parent, 1)
            scan(project, name)
        for stage in ("ingest", *STAGES):
            for name in loaded[stage]["on"]:
                engine.run(make_plan(stage, name, project), project, executor="local")
    return Project(root)


def built_folders(project: Project) -> list[Path]:
    """The folders of shards below a project's data, base rows first."""
    manifests = (project.root / "data").glob("[12]-*/**/manifest.json")
    return sorted(path.parent for path in manifests)
