"""People in COCO's JSON files: annotations with their images, and lists of results.

One rule for joints, masks and boxes: of annotations those of the category called person, whatever
its case, or of the only category there is, or of all where none are listed; crowds are left out. Of
results those of category 1, as are entries without one. An annotation that cannot be read is a
`BadLabel` of its image.

Source  the COCO annotation and results formats
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from pipeline.backends.given import BadLabel
from reid.project.errors import ReidError

PERSON, PERSON_ID = "person", 1  # the category's name, and its number in results
Label = TypeVar("Label")  # what is made of a person's entry
Image = dict[str, Any]
NO_CROWD = (None, 0, "0", "")  # values of `iscrowd`, some written as text
WRONG = (LookupError, TypeError, AttributeError, ValueError, OverflowError)


def people(
    path: Path,
    loaded: Any,
    annotation: Callable[[str, Image, Image], Iterable[Label]],
    result: Callable[[str, Image], Iterable[Label]],
    expected: str,
) -> list[Label | BadLabel]:
    """What `annotation(name, image, entry)` or `result(name, entry)` make of each person.

    Names are the images' as the file writes them. Raises `ReidError` where `loaded` is neither
    format, which is `expected`, where no entry can be used or is a person, or where there are
    several categories and none of them is a person.
    """
    try:
        if isinstance(loaded, list):
            read = list(_results(loaded, result))
        else:
            read = list(_annotations(path, loaded, annotation))
    except WRONG as error:
        raise ReidError(f"{path}: {expected} ({_words(error)})") from None
    if read and all(isinstance(one, BadLabel) for one in read):
        raise ReidError(f"{path}: {expected} ({': '.join(read[0])})")  # pyright: ignore
    entries = loaded if isinstance(loaded, list) else loaded["annotations"]
    if entries and not read:
        ids = sorted({repr(entry.get("category_id")) for entry in entries})[:5]
        raise ReidError(f"{path}: none of its entries is a person (category_id {', '.join(ids)})")
    return read


def _results(
    entries: list[Any], result: Callable[[str, Image], Iterable[Label]]
) -> Iterator[Label | BadLabel]:
    for entry in entries:
        if _number(entry.get("category_id", PERSON_ID)) == PERSON_ID:
            name = str(entry["image_id"])
            yield from _read(name, partial(result, name, entry))


def _annotations(
    path: Path, loaded: Any, annotation: Callable[[str, Image, Image], Iterable[Label]]
) -> Iterator[Label | BadLabel]:
    images = {image["id"]: image for image in loaded["images"]}
    names = {key: str(image["file_name"]) for key, image in images.items()}
    wanted = _wanted(path, loaded.get("categories") or [])
    for entry in loaded["annotations"]:
        if entry.get("iscrowd") not in NO_CROWD or (
            wanted and _number(entry.get("category_id")) not in wanted
        ):
            continue
        key = entry.get("image_id")
        if key not in images:
            yield BadLabel(f"image {key}", "annotation of an image that `images` does not list")
        else:
            yield from _read(names[key], partial(annotation, names[key], images[key], entry))


def _number(category: Any) -> Any:
    """A category's id; some programs write the number as text."""
    text = isinstance(category, str) and category.strip().isdecimal()
    return int(category) if text else category


def _read(name: str, read: Callable[[], Iterable[Label]]) -> list[Label | BadLabel]:
    try:
        return [*read()]
    except WRONG as error:
        return [BadLabel(name, _words(error))]


def _words(error: Exception) -> str:
    return f"missing {error}" if isinstance(error, KeyError) else str(error)


def _wanted(path: Path, categories: list[dict[str, Any]]) -> set[Any]:
    """The ids of the categories that are people; empty where none are listed."""
    names = {_number(kind["id"]): str(kind.get("name", "")).strip() for kind in categories}
    people = {key for key, name in names.items() if name.casefold() == PERSON}
    if people or len(names) <= 1:
        return people or set(names)
    raise ReidError(
        f"{path}: none of its categories is `{PERSON}` ({', '.join(sorted(names.values()))}); name "
        "the one of people so, or leave one alone"
    )
