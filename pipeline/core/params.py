"""params.yaml to typed, checked parameters.

Each stage's section has `on: {<data set>: {overrides}}` and `with: {...}`; what holds for one
data set is `with` overlaid by `on.<data set>`. Code holds the papers' defaults; params.yaml holds
only what differs. Read as YAML 1.2, where `on` is a word and `3e-4` a number.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from pipeline.core.errors import ReidError

PARAMS_FILE = "params.yaml"


class Strict(BaseModel):
    """A group of parameters: unknown keys are errors, values do not change."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class StageParams(Strict):
    """What every stage has beside its own parameters; not part of a shard's key."""

    max_reject_rate: float = 0.05  # share of rows; above it the stage fails


class DerivedParams(StageParams):
    """What every stage has that derives data from a data set's rows.

    A stage may be built several times over one data set, with other parameters: each build has its
    own name below `on`, and says whose rows it is of.
    """

    dataset: str = ""  # whose rows; '' = the data set that the build is named after
    builds: dict[str, str] = {}  # the builds it reads of other stages, where not the data set's own
    rows: str = ""  # the folder of these rows below data/, read by dvc.yaml alone


P = TypeVar("P", bound=BaseModel)


def load(root: Path) -> dict[str, Any]:
    """The parameters file below `root` as plain dictionaries."""
    path = root / PARAMS_FILE
    if not path.is_file():
        raise ReidError(f"{path}: no such file; run in the project's root, or pass --root")
    try:
        loaded = YAML(typ="safe", pure=True).load(path.read_text(encoding="utf-8"))
    except (YAMLError, UnicodeDecodeError) as error:
        raise ReidError(f"{path}: not valid YAML: {' '.join(str(error).split())}") from None
    if not isinstance(loaded, dict):
        raise ReidError(f"{path}: must hold sections such as `ingest:`")
    return loaded


def section(loaded: Mapping[str, Any], *names: str) -> dict[str, Any]:
    """The mapping at `names`, empty where it is absent or null; an error where it is no mapping."""
    value: Any = loaded
    for depth, name in enumerate(names):
        value = value.get(name)
        if value is None:
            return {}
        if not isinstance(value, dict):
            where = ".".join(names[: depth + 1])
            raise ReidError(f"{PARAMS_FILE}: `{where}` must hold keys, not {value!r}")
    return dict(value)


def stage_params(loaded: Mapping[str, Any], stage: str, dataset: str, model: type[P]) -> P:
    """The checked parameters of `stage` for `dataset`: `with` overlaid by `on.<dataset>`."""
    known = section(loaded, stage, "on")
    if dataset not in known:
        names = ", ".join(sorted(known)) or "none"
        nearest = _nearest(dataset, known)
        raise ReidError(f"{PARAMS_FILE}: {stage}.on has no `{dataset}`{nearest} (it has {names})")
    merged = {**section(loaded, stage, "with"), **section(loaded, stage, "on", dataset)}
    return check(model, merged, stage)


def check(model: type[P], values: Mapping[str, Any], where: str) -> P:
    """`values` as a `model`, or one error with the key, its path and the nearest valid key."""
    try:
        return model.model_validate(dict(values))
    except ValidationError as error:
        raise ReidError("; ".join(_explain(model, where, e) for e in error.errors()[:3])) from None


def _explain(model: type[BaseModel], where: str, error: Any) -> str:
    path = [str(part) for part in error["loc"]]
    owner: Any = model
    for part in path[:-1]:  # walk to the model that the key belongs to
        field = getattr(owner, "model_fields", {}).get(part)
        owner = field.annotation if field is not None else None
    if error["type"] == "extra_forbidden":
        known = sorted(getattr(owner, "model_fields", {}))
        place = ".".join([where, *path[:-1]])
        return (
            f"{PARAMS_FILE}: {place} has no `{path[-1]}`{_nearest(path[-1], known)} "
            f"(it has {', '.join(known)})"
        )
    place = ".".join([where, *path])
    return f"{PARAMS_FILE}: {place}: {error['msg']}, not {error['input']!r}"


def _nearest(word: str, known: Any) -> str:
    close = difflib.get_close_matches(word, list(known), n=1)
    return f"; did you mean `{close[0]}`?" if close else ""
