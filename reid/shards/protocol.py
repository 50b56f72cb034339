"""protocol.json of a data set: its rules of evaluation, the default first, and counts.

`pipeline.datasets.base` says what a rule's entries mean. Further keys are let through.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal, NotRequired

from pydantic import AfterValidator, ConfigDict, Discriminator, Field, Tag, TypeAdapter, with_config
from typing_extensions import TypedDict

from reid.evaluation.protocol import Exclude
from reid.project.errors import ReidError
from reid.project.layout import key_of
from reid.shards.checked_json import read_checked
from reid.shards.footer import which_command
from reid.shards.manifest import OPEN, Count
from reid.shards.remote import Remote

PROTOCOL = "protocol.json"
CLOSED = ConfigDict(strict=True, extra="forbid")

Person = Annotated[int, Field(ge=-(2**31), lt=2**31)]
Camera = Annotated[int, Field(ge=-(2**15), lt=2**15)]
Role = Literal["train", "query", "gallery"]


@with_config(CLOSED)
class Labelled(TypedDict, total=False):
    """Rows that have one of these labels, of each kind that is named."""

    persons: list[Person]
    cameras: list[Camera]


@with_config(CLOSED)
class ByRole(TypedDict, total=False):
    """Which rows have a role, `test` standing for query and gallery."""

    train: Labelled
    test: Labelled
    query: Labelled
    gallery: Labelled


@with_config(CLOSED)
class Added(TypedDict):
    """Rows that have a role beside those that the columns give it."""

    columns_and: dict[Role, Labelled]


def _every_role(members: ByRole) -> ByRole:
    for role in ("train", "query", "gallery"):
        if not members.get(role) and not members.get("test"):
            raise ValueError(f"says no labels of {role}")
    return members


def _members_kind(value: Any) -> str:
    if isinstance(value, dict):
        return "added" if "columns_and" in value else "by role"
    return "columns"


Members = Annotated[
    Annotated[Literal["columns"], Tag("columns")]
    | Annotated[Added, Tag("added")]
    | Annotated[ByRole, AfterValidator(_every_role), Tag("by role")],
    Discriminator(_members_kind),
]


@with_config(OPEN)
class Settings(TypedDict, total=False):
    """What a rule compares and leaves out."""

    exclude: Exclude
    views: Annotated[int, Field(ge=0, le=2**15)]
    junk: list[Person]
    distractors: list[Person]
    query: str
    gallery: str


@with_config(OPEN)
class Rule(TypedDict):
    """One rule of evaluation."""

    name: str
    title: NotRequired[str]
    published: NotRequired[dict[str, Count]]
    found: NotRequired[dict[str, Count]]
    members: NotRequired[Members]
    rule: NotRequired[Settings]
    metrics: NotRequired[list[str]]


@with_config(OPEN)
class RoleCounts(TypedDict):
    images: Count
    identities: Count
    cameras: Count


@with_config(OPEN)
class Protocols(TypedDict):
    """All that protocol.json holds."""

    protocols: Annotated[list[Rule], Field(min_length=1)]
    digest: NotRequired[str]  # of `protocols`: what a rule draws is not edited unseen
    found: NotRequired[dict[str, Count]]
    notes: NotRequired[list[str]]
    built: NotRequired[dict[Role, RoleCounts]]


@cache
def whole() -> TypeAdapter[Protocols]:
    """Built when it is first asked for: it takes longer than reading does."""
    return TypeAdapter(Protocols)


def protocols_of(folder: Path) -> Protocols:
    """What protocol.json beside a data set's rows holds; `ReidError` where there is none."""
    protocol = _read(folder)
    if protocol is None:
        raise ReidError(f"{folder}: no {PROTOCOL}{which_command(folder / 'rows' / 'any')}")
    return protocol


def read_protocols(folder: Path | Remote) -> dict[str, Any]:
    """What protocol.json beside a data set's rows holds, {} where there is none."""
    protocol = _read(folder)
    return {} if protocol is None else {**protocol}


def with_digest(protocol: Mapping[str, Any]) -> dict[str, Any]:
    """What protocol.json holds, with the digest by which readers see an edited rule."""
    return {**protocol, "digest": key_of(protocol["protocols"])}


def _read(folder: Path | Remote) -> Protocols | None:
    protocol = read_checked(folder / PROTOCOL, whole())
    if protocol and protocol.get("digest", "") not in ("", key_of(protocol["protocols"])):
        builder = "" if isinstance(folder, Remote) else which_command(folder / "rows" / "any")
        raise ReidError(f"{folder / PROTOCOL}: its rules were edited since it was built{builder}")
    return protocol
