"""Every query's list, the worst first, for the page's script to filter and to show.

A list is [query, average precision, rank of the first match, gallery, matches]: images are numbers
into `images`, of which `lengths` says how many characters of the thumbnails each has, 0 for one
that is left out. The thumbnails of the worst queries come first, until `THUMBNAILS` is full.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from reid.report.blocks import Gallery, Section, anchor, printable, small, webp
from reid.report.sections.ranked import SHOWN
from reid.report.sections.results import own_sections
from reid.results.built import BuiltData, Run, Runs

LISTS = 60_000  # of all experiments together, about 80 bytes each
THUMBNAILS = 24_000_000  # characters, about 15,000 pictures of 128 x 64 px
THUMBNAIL_PX = 128  # their height

Image = tuple[str, str]  # data set and image_id


def gallery(found: Sequence[Runs]) -> Section | None:
    """The lists of all experiments that have a section of their own."""
    pairs = [(runs.built, run) for runs in found for run in own_sections(runs)]
    if not pairs:
        return None
    most = max(1, LISTS // len(pairs))
    lists = [(built, run, _worst(run)[:most]) for built, run in pairs]
    images, thumbnails = _thumbnails(lists)
    number = {image: i for i, image in enumerate(images)}
    sets = {built.name: built for built, _ in pairs}
    data = {
        "images": [printable(image_id) for _, image_id in images],
        "persons": [_label(sets[name], "person", image_id) for name, image_id in images],
        "cameras": [_label(sets[name], "camera", image_id) for name, image_id in images],
        "lengths": [len(text) for text in thumbnails],
        "experiments": [
            {
                "name": printable(run.name),
                "dataset": printable(built.name),
                "anchor": anchor(f"experiment {run.name}"),
                "lists": [_list(built.name, query, run.ranked[query], number) for query in queries],
            }
            for built, run, queries in lists
        ],
    }
    told = _caption(pairs, lists, sum(not text for text in thumbnails), len(images))
    return Section("All queries, the worst first", [Gallery(data, "".join(thumbnails), told)])


def _worst(run: Run) -> list[str]:
    """The queries that have a match, in order of their average precision."""
    counted = [q for q, line in run.ranked.items() if line["first_match"] > 0]
    return sorted(counted, key=lambda q: (run.ranked[q]["average_precision"], q))


Lists = list[tuple[BuiltData, Run, list[str]]]


def _thumbnails(lists: Lists) -> tuple[list[Image], list[str]]:
    """The images in order of the worst list that they are in, and their pictures as base64."""
    images, out, used = list(dict.fromkeys(_by_need(lists))), [], 0
    sets = {built.name: built for built, _, _ in lists}
    for name, image_id in images:
        text = _thumbnail(sets[name], image_id) if used < THUMBNAILS else ""
        used += len(text)
        out.append(text if used <= THUMBNAILS else "")
    return images, out


def _by_need(lists: Lists) -> Iterator[Image]:
    """All images of the worst query of each experiment, then of the second worst, and so on."""
    for place in range(max(len(queries) for _, _, queries in lists)):
        for built, run, queries in lists:
            if place < len(queries):
                query = queries[place]
                for image_id in (query, *run.ranked[query]["gallery"][:SHOWN]):
                    yield built.name, image_id


def _thumbnail(built: BuiltData, image_id: str) -> str:
    """Nothing for an image that is not in the data set any more."""
    position = built.positions.get(image_id)
    if position is None:
        return ""
    picture = webp(small(built.data.value("image", position), THUMBNAIL_PX))
    return base64.b64encode(picture).decode()


def _label(built: BuiltData, name: str, image_id: str) -> int | None:
    position = built.positions.get(image_id)
    return None if position is None else int(built.data.labels(name)[position])


def _list(dataset: str, query: str, line: dict[str, Any], number: dict[Image, int]) -> list[Any]:
    shown = [number[dataset, image_id] for image_id in line["gallery"][:SHOWN]]
    right = "".join("1" if match else "0" for match in line["match"][:SHOWN])
    precision = round(float(np.nan_to_num(line["average_precision"])), 4)
    return [number[dataset, query], precision, int(line["first_match"]), shown, right]


def _caption(
    pairs: list[tuple[BuiltData, Run]], lists: Lists, without: int, images: int
) -> str:  # fmt: skip
    every = sum(len(_worst(run)) for _, run in pairs)
    kept = sum(len(queries) for _, _, queries in lists)
    told = (
        f"{kept:,} lists of {len(pairs)} experiments: a query and its first {SHOWN} gallery "
        "images. Right images, of the same person, have a green frame and a tick; wrong ones a red "
        "double frame and a cross. Where samples are clips, each tracklet is shown by its first "
        "frame."
    )
    if kept < every:
        told += f" Left out: the best {every - kept:,} lists; the page holds {LISTS:,} at most."
    if without:
        told += (
            f" Left out: {without:,} of {images:,} pictures, those of the best lists; the page "
            f"holds {THUMBNAILS / 1e6:g} MB of them at most."
        )
    return told
