"""params.yaml to typed, checked parameters.

Each stage's section has `on: {<data set>: {overrides}}` and `with: {...}`; what holds for one
data set is `with` overlaid by `on.<data set>`. Code holds the papers' defaults; params.yaml holds
only what differs. Read as YAML 1.2, where `on` is a word and `3e-4` a number.
"""

from __future__ import annotations

import re
import reprlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from reid.project.errors import ReidError
from reid.project.names import did_you_mean

PARAMS_FILE = "params.yaml"
LONGEST_NAME = 100  # characters of a name that becomes a folder
DEEPEST = 100  # brackets in each other; the parser takes the square of their number


class Strict(BaseModel):
    """A group of parameters: unknown keys are errors, values do not change."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class StageParams(Strict):
    """What every stage has beside its own parameters; not part of a shard's key."""

    max_reject_rate: float = Field(0.05, ge=0, le=1)  # share of rows; above it the stage fails


class Run(BaseModel):
    """The section `run`: how stages run, of no influence on what they make."""

    executor: str = Field("pool", pattern=r"^[\w-]+$")
    workers: int = Field(0, ge=0)  # 0 = one a core


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
        text = path.read_text(encoding="utf-8")
        check_depth(text)
        loaded = YAML(typ="safe", pure=True).load(text)
    except OSError as error:
        raise ReidError(f"{path}: cannot be read: {error.strerror}") from None
    except (YAMLError, ValueError, RecursionError) as error:  # ValueError: no text, no such date
        reason = _one_line(" ".join(str(error).split()))[:500]
        raise ReidError(f"{path}: not valid YAML: {reason}") from None
    if not isinstance(loaded, dict):
        raise ReidError(f"{path}: must hold sections such as `ingest:`")
    for name, values in loaded.items():
        if isinstance(values, dict):
            _check_names(f"{PARAMS_FILE}: {_one_line(str(name))}.on", values.get("on"))
    check(Run, section(loaded, "run"), "run")
    return loaded


def check_depth(text: str) -> None:
    """Raises `ValueError` where brackets lie so deep in each other that parsing takes hours."""
    depth = 0
    for bracket in re.findall(r"[\[\]{}]", text):
        depth += 1 if bracket in "[{" else -1
        if depth > DEEPEST:
            raise ValueError(f"more than {DEEPEST} brackets in each other")


def _check_names(where: str, named: Any) -> None:
    """Raises `ReidError` where a name below `on` cannot be a folder's: no path may leave data/."""
    for name in named if isinstance(named, dict) else ():
        reason = ""
        if not isinstance(name, str):
            reason = f"is {type(name).__name__}, not text; put it in quotes"
        elif not name.strip() or name in (".", "..") or "/" in name or "\\" in name:
            reason = f"cannot be a folder's name; name it otherwise, with `dataset: {name}`"
        elif not name.isprintable() or len(name) > LONGEST_NAME:
            reason = f"must be printable text of at most {LONGEST_NAME} characters"
        if reason:
            raise ReidError(f"{where}: `{_one_line(str(name))[:LONGEST_NAME]}` {reason}")


def _one_line(text: str) -> str:
    """`text` with what is not printable escaped."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def _shown(value: Any) -> str:
    """A value of any size in a few words."""
    short = reprlib.Repr()
    short.maxlevel, short.maxstring, short.maxother, short.maxlong = 2, 80, 80, 80
    return _one_line(short.repr(value))[:300]


def section(loaded: Mapping[str, Any], *names: str) -> dict[str, Any]:
    """The mapping at `names`, empty where it is absent or null; an error where it is no mapping."""
    value: Any = loaded
    for depth, name in enumerate(names):
        value = value.get(name)
        if value is None:
            return {}
        if not isinstance(value, dict):
            where = ".".join(names[: depth + 1])
            raise ReidError(f"{PARAMS_FILE}: `{where}` must hold keys, not {_shown(value)}")
    return dict(value)


def stage_params(loaded: Mapping[str, Any], stage: str, dataset: str, model: type[P]) -> P:
    """The checked parameters of `stage` for `dataset`: `with` overlaid by `on.<dataset>`."""
    known = section(loaded, stage, "on")
    if dataset not in known:
        names = ", ".join(sorted(known)) or "none"
        nearest = did_you_mean(dataset, known)
        raise ReidError(f"{PARAMS_FILE}: {stage}.on has no `{dataset}`{nearest} (it has {names})")
    merged = {**section(loaded, stage, "with"), **section(loaded, stage, "on", dataset)}
    return check(model, merged, stage)


def dataset_of(loaded: Mapping[str, Any], stage: str, build: str) -> str:
    """The data set whose rows a build is of: the one named after it where none is said."""
    values = {**section(loaded, stage, "with"), **section(loaded, stage, "on", build)}
    named = values.get("dataset", "")
    if not isinstance(named, str):
        raise ReidError(f"{PARAMS_FILE}: {stage}.on.{build}.dataset: {_shown(named)} is not text")
    return named or build


def ingested(loaded: Mapping[str, Any], dataset: str) -> str:
    """The ingested data set that another is made from: of `crops/topview`, `topview`."""
    walked = [dataset]
    while "/" in walked[-1]:
        walked.append(dataset_of(loaded, *walked[-1].split("/", 1)))
        if walked[-1] in walked[:-1]:
            raise ReidError(f"{PARAMS_FILE}: {' from '.join(walked)}: a data set made from itself")
    return walked[-1]


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
        section = ".".join([where, *path[:-1]])
        return (
            f"{PARAMS_FILE}: {section} has no `{path[-1]}`{did_you_mean(path[-1], known)} "
            f"(it has {', '.join(known)})"
        )
    key = ".".join([where, *path])
    return f"{PARAMS_FILE}: {key}: {error['msg']}, not {_shown(error['input'])}"
