"""Where a data set's images come from: people before cameras, or a world that was rendered.

A rendered world lies in a real data set's layout and is read by its reader. What tells them apart
is a file in the raw folder itself, which a copy, a link or `dvc import` of the folder has too. Of a
world that was rendered before there was such a file, the ground truth lies beside it.

Reads   0-raw/<dataset>/rendered.json, also through a link, beside the layout's own folder or in it
Writes  the same, for `pipeline.world`
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, with_config
from typing_extensions import TypedDict

from reid.project.layout import as_json
from reid.shards.checked_json import read_checked
from reid.shards.manifest import OPEN, ImageSource

FILE = "rendered.json"
LICENCE = "Apache-2.0"  # of this project, whose programs draw every pixel
UNKNOWN = "unknown"  # scene and layout of a world without the file
ABOVE = 2  # folders above a linked one that may be the world's own


@with_config(OPEN)
class Rendered(TypedDict):
    """What the file holds."""

    world: str
    scene: str  # of `pipeline.world.scenes`
    layout: str  # the reader's name
    licence: str


def rendered_file(world: str, scene: str, layout: str) -> bytes:
    """The file's content."""
    told = {"world": world, "scene": scene, "layout": layout, "licence": LICENCE}
    return as_json({**told, "people": "none: every image is drawn by a program"})


def image_source(root: Path, info: Mapping[str, Any]) -> ImageSource:
    """What to say of the images below `root`; `info` is what its reader says of the real data set.

    Of a rendered world nothing of the real data set's source, licence and citation is true.
    """
    found = (read_checked(path, rendered_adapter()) for path in _files(root))
    told = next(filter(None, found), None) or _by_truth(root)
    if told is None:
        return {
            "kind": info["kind"], "title": info["title"], "licence": info["licence"],
            "where": info["where"], "citation": info["citation"], "note": info["note"],
        }  # fmt: skip
    return {
        "kind": "rendered",
        "title": f"Rendered world {told['world']}: scene {told['scene']}, in the layout of "
        f"{info['title']}. Every image is drawn by a program, and no person is in it",
        "licence": told["licence"],
        "where": f"`reid world {told['world']}` renders it",
        "scene": told["scene"],
        "layout": told["layout"],
    }


def _by_truth(root: Path) -> Rendered | None:
    """What is known of a world with its truth, and nothing else, beside it."""
    if not any(each.with_name(f"{each.name}.truth").is_dir() for each in (root, root.resolve())):
        return None
    return {"world": root.name, "scene": UNKNOWN, "layout": UNKNOWN, "licence": LICENCE}


@cache
def rendered_adapter() -> TypeAdapter[Rendered]:
    """Built when it is first asked for: it takes longer than reading does."""
    return TypeAdapter(Rendered)


def _files(root: Path) -> Iterator[Path]:
    home = root.resolve()
    yield from (folder / FILE for folder in (home, *list(home.parents)[:ABOVE]))
    yield from sorted(home.glob(f"*/{FILE}"))
