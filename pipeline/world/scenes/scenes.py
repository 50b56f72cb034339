"""The scenes that can be rendered, and a world's parameters from params.yaml."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from pipeline.world.crowd import Rendered, Scene
from reid.project import params
from reid.project.errors import ReidError


class View(NamedTuple):
    """What a scene's file has."""

    params: type[Scene]
    plan: Callable[[Any], Sequence[Any]]  # the passes of checked parameters
    render_pass: Callable[[Any, Any], Rendered]  # of parameters and one pass


def _street() -> View:
    from pipeline.world.scenes import street

    return View(street.Params, street.plan, street.render_pass)


def _mall() -> View:
    from pipeline.world.scenes import mall

    return View(mall.Params, mall.plan, mall.render_pass)


def _topview() -> View:
    from pipeline.world.scenes import topview

    return View(topview.Params, topview.plan, topview.render_pass)


def _hall() -> View:
    from pipeline.world.scenes import hall

    return View(hall.Params, hall.plan, hall.render_pass)


FIT_SEEDS = 1_000_000_000  # where those of `pipeline.fit.people` begin
SCENES = {"street": _street, "mall": _mall, "topview": _topview, "hall": _hall}


def of_world(loaded: Mapping[str, Any], name: str) -> tuple[str, Scene]:
    """The layout that world `name` is written in, and its scene's checked parameters."""
    known = params.section(loaded, "world", "on")
    if name not in known:
        raise ReidError(
            f"{params.PARAMS_FILE}: world.on has no `{name}` (it has {', '.join(known) or 'none'})"
        )
    shared = params.section(loaded, "world", "with")
    values = {**shared, **params.section(loaded, "world", "on", name)}
    where = f"world.on.{name}"
    scene, layout = values.pop("scene", None), values.pop("layout", None)
    if scene not in SCENES:
        raise ReidError(
            f"{params.PARAMS_FILE}: {where}.scene: `{scene}` is none of {', '.join(SCENES)}"
        )
    if not isinstance(layout, str):
        raise ReidError(f"{params.PARAMS_FILE}: {where}.layout must name a data set's reader")
    checked = params.check(SCENES[scene]().params, values, where)
    _check_seed(checked.seed, where)
    return layout, checked


def _check_seed(seed: int, where: str) -> None:
    """`ReidError` for a seed of the people whom the networks shipped here were fitted to."""
    if seed >= FIT_SEEDS:
        raise ReidError(
            f"{params.PARAMS_FILE}: {where}.seed: {seed}, must be below {FIT_SEEDS:,}: from there "
            "on are the seeds of the people whom the shipped networks were fitted to"
        )
