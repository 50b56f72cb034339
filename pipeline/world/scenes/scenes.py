"""The scenes that can be rendered, and a world's parameters from params.yaml."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any

from reid.project import params
from reid.project.errors import ReidError

SCENES = ("street", "mall", "topview", "hall")  # modules of this package


def of_world(loaded: Mapping[str, Any], name: str) -> tuple[str, Any]:
    """The layout that world `name` is written in, and its scene's checked parameters."""
    known = params.section(loaded, "world", "on")
    if name not in known:
        raise ReidError(
            f"{params.PARAMS_FILE}: world.on has no `{name}` (it has {', '.join(known) or 'none'})"
        )
    shared, own = (
        params.section(loaded, "world", "with"),
        params.section(loaded, "world", "on", name),
    )
    values = {**shared, **own}
    where = f"world.on.{name}"
    scene, layout = values.pop("scene", None), values.pop("layout", None)
    if scene not in SCENES:
        raise ReidError(
            f"{params.PARAMS_FILE}: {where}.scene: `{scene}` is none of {', '.join(SCENES)}"
        )
    if not isinstance(layout, str):
        raise ReidError(f"{params.PARAMS_FILE}: {where}.layout must name a data set's reader")
    model = importlib.import_module(f"pipeline.world.scenes.{scene}").Params
    return layout, params.check(model, values, where)
