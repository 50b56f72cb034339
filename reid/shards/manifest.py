"""manifest.json of a built folder: what it is of, what made it, and its shards with their hashes.

Written by the engine, read here by everybody who opens the folder. Further keys are let through:
a newer program may say more.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal, NotRequired

from pydantic import AfterValidator, ConfigDict, Field, TypeAdapter, with_config
from pydantic_core import PydanticCustomError
from typing_extensions import TypedDict

from reid.project.errors import ReidError
from reid.shards.checked_json import NEWER, read_checked
from reid.shards.footer import newer
from reid.shards.remote import Remote

OPEN = ConfigDict(strict=True, extra="allow")
MANIFEST = "manifest.json"

Count = Annotated[int, Field(ge=0, le=2**62)]
FileName = Annotated[str, Field(pattern=r"^[^/\\\x00-\x1f\x7f]+\.parquet$", max_length=255)]


def _known(version: int) -> int:
    if wrong := newer(version):
        raise PydanticCustomError(NEWER, "{wrong}", {"wrong": wrong})
    return version


@with_config(OPEN)
class Entry(TypedDict):
    """One shard of a folder."""

    name: FileName  # below rows/
    rows: Count
    bytes: Count
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


Kind = Literal["photographs", "own images"]  # of what was not rendered


@with_config(OPEN)
class ImageSource(TypedDict):
    """Where the images of a data set come from, in the manifests of all that is built of it."""

    kind: Kind | Literal["rendered"]
    title: str
    licence: str
    where: str
    citation: NotRequired[str]  # none of what is rendered
    scene: NotRequired[str]  # of what is rendered
    layout: NotRequired[str]
    note: NotRequired[str]  # what else its counts have beside them


@with_config(OPEN)
class Listed(TypedDict):
    """A folder of shards, whoever made it."""

    schema_version: NotRequired[Annotated[Count, AfterValidator(_known)]]
    shards: list[Entry]


@with_config(OPEN)
class Manifest(Listed):
    """A folder that a stage of this project built."""

    stage: str
    dataset: str  # whose rows it has, or is made of
    columns: list[str]
    parameters: dict[str, Any]
    rows: Count
    rejects: Count
    weights: NotRequired[str | None]
    new_rows: NotRequired[bool]
    source: NotRequired[ImageSource]  # not in folders of earlier programs


LISTED, WHOLE = TypeAdapter(Listed), TypeAdapter(Manifest)


def listed_of(folder: Path | Remote) -> Listed | None:
    """The shards that a folder's manifest lists, None where it has no manifest."""
    return read_checked(folder / MANIFEST, LISTED)


def read_manifest(folder: Path | Remote) -> Manifest | None:
    """The manifest of a built folder, None where there is none."""
    return read_checked(folder / MANIFEST, WHOLE)


def manifest_of(folder: Path, hint: str) -> Manifest:
    """The manifest of a built folder, or an error that says which command builds it."""
    manifest = read_manifest(folder)
    if manifest is None:
        raise ReidError(f"{folder}: not built yet; run `{hint}`")
    return manifest
