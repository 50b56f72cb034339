"""Mask swaps: a sheet of them, how many partners images have, and where made images come from."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pyarrow.compute as pc

from reid.arrays import swaps
from reid.data.dataset import Data
from reid.report import plots
from reid.report.blocks import (
    Figure,
    Row,
    Section,
    Sheet,
    Shot,
    Table,
    Text,
    jpeg,
    percent,
    small,
    svg,
    table,
)
from reid.report.sections.pictures import describe, evenly, shot
from reid.results.built import Build, BuiltData
from reid.shards.folder import Shard

SHOWN = 6  # rows of a sheet
SQUARE_PX = 160
COLUMNS = ("background", "region", "rectangle", "partners")
ORDER = ("full_body", "upper_body", "given")


def backgrounds(built: BuiltData) -> dict[str, Build]:
    """The builds of `backgrounds` by what they are to be called, full bodies first."""
    found = [build for build in built.derived if build.stage == "backgrounds"]
    found.sort(key=lambda b: (ORDER.index(_region(b)), b.name != built.name, b.name))
    regions = [_region(build) for build in found]
    return {
        _words(region) + (f" ({build.name})" if regions.count(region) > 1 else ""): build
        for region, build in zip(regions, found, strict=True)
    }


def _region(build: Build) -> str:
    return str(build.parameters.get("region", ORDER[0]))


def _words(region: str) -> str:
    return "given region" if region == "given" else region.replace("_", " ")


def sheet(built: BuiltData) -> Section | None:
    """In rows images, in columns the original, its background, and swaps of each region."""
    opened = {name: _open(built, build) for name, build in backgrounds(built).items()}
    chosen = _choose(list(opened.values()))
    if not len(chosen):
        return None
    rows = [
        Row(
            f"person {built.persons[i]}, camera {built.data.labels('camera')[i]}",
            [*_own(built, next(iter(opened.values())), i)]
            + [_swap(built, data, i) for data in opened.values()],
        )
        for i in map(int, chosen)
    ]
    caption = (
        "Training images squared, their own background, and swaps: the person before the "
        "background of another image that may be swapped with, whose camera stands below. An empty "
        "place has no such partner."
    )
    headings = ["original", "its background", *(f"swap, {name}" for name in opened)]
    return Section("Swaps", [Sheet(rows, caption, headings)])


def _open(built: BuiltData, build: Build) -> Data:
    return built.open([f"backgrounds.{name}" for name in COLUMNS], backgrounds=build.name)


def _partners(data: Data) -> list[list[int]]:
    """Of each row; none of a row that the stage left out."""
    return [p or [] for p in data.values("backgrounds.partners", np.arange(len(data)))]


def _choose(opened: list[Data]) -> np.ndarray:
    """Evenly spaced rows with partners: in all builds, or in the first where no row has those."""
    having = [{i for i, p in enumerate(_partners(data)) if p} for data in opened]
    if not having:
        return np.empty(0, int)
    rows = np.array(sorted(set.intersection(*having) or having[0]), int)
    return rows[evenly(len(rows), SHOWN)]


def _own(built: BuiltData, data: Data, position: int) -> tuple[Shot, Shot]:
    """The image and its own background, at the size of its build."""
    background = data.value("backgrounds.background", position)
    original = swaps.square(built.data.value("image", position), len(background))
    told = describe(built, position)
    return _picture(original, told), _picture(background, f"Background of {told}")


def _swap(built: BuiltData, data: Data, position: int) -> Shot:
    """The image's region before the background of one of its partners."""
    region = data.value("backgrounds.region", position)
    partners = data.value("backgrounds.partners", position)
    if region is None or not partners:
        return Shot(None, f"No partner of {describe(built, position)}", "no partner")
    donor = _donor(partners, position, built.data.labels("camera"))
    onto = data.value("backgrounds.background", donor)
    if onto is None:
        return Shot(None, f"{describe(built, donor)} has no background", "no background")
    image = swaps.square(built.data.value("image", position), len(region))
    places = [_rectangle(data.value("backgrounds.rectangle", i)) for i in (position, donor)]
    pasted = swaps.paste(image, region, onto, *places)
    told = f"{describe(built, position)}, before the background of {describe(built, donor)}"
    return _picture(pasted, told, f"camera {built.data.labels('camera')[donor]}")


def _donor(partners: list[int], position: int, camera: np.ndarray) -> int:
    """The middle one of the partners from other cameras, or of all: whose place differs more."""
    others = [partner for partner in partners if camera[partner] != camera[position]] or partners
    return others[len(others) // 2]


def _rectangle(values: np.ndarray | None) -> swaps.Rectangle | None:
    if values is None:
        return None
    x1, y1, x2, y2 = (int(value) for value in values)
    return x1, y1, x2, y2


def _picture(image: np.ndarray, alt: str, label: str = "") -> Shot:
    return Shot(jpeg(small(image, SQUARE_PX)), alt, label)


def partners(built: BuiltData) -> Section | None:
    """How many images there are that an image may be swapped with."""
    facts = {name: (build, fit_of(build)) for name, build in backgrounds(built).items()}
    facts = {name: (build, found) for name, (build, found) in facts.items() if found}
    if not facts:
        return None
    lines = [
        {
            "region": name,
            "images": found["images"],
            "partners, mean": f"{found['partners_mean']:,.1f}",
            "partners, median": f"{found['partners_median']:,.1f}",
            "without a partner": found["without_partner"],
            "without a partner %": percent(found["share_without_partner"]),
        }
        for name, (_, found) in facts.items()
    ]
    caption = "Training images, and how many others each may be swapped with."
    blocks: list[Table | Figure | Text] = [table(lines, caption)]
    by_viewpoint = [line for name, (_, found) in facts.items() for line in _viewpoint(name, found)]
    if len(by_viewpoint) > len(facts):
        blocks.append(table(by_viewpoint, "The same by viewpoint; -1 is unknown."))
    return Section("Swap partners", [*blocks, _histogram({n: b for n, (b, _) in facts.items()})])


def fit_of(build: Build) -> dict[str, Any]:
    """What a build of `backgrounds` tells of its pairs; empty where that is not there."""
    path = build.folder / "fit.json"
    return json.loads(path.read_text("utf-8")) if path.is_file() else {}


def _viewpoint(name: str, found: dict[str, Any]) -> list[dict[str, Any]]:
    return [
        {
            "region": name,
            "viewpoint": viewpoint,
            "images": counts["images"],
            "partners, median": f"{counts['partners_median']:,.1f}",
        }
        for viewpoint, counts in sorted(found["viewpoints"].items(), key=lambda item: int(item[0]))
    ]


def _histogram(builds: dict[str, Build]) -> Figure:
    """Partners that are kept of each image, of which there may be fewer than are found."""
    kept = {}
    for name, build in builds.items():
        partners = Shard(build.folder / "fit.parquet").table(["partners"])["partners"]
        kept[name] = pc.list_value_length(partners).to_numpy()  # type: ignore[attr-defined]
    limits = {name: build.parameters.get("max_partners", 0) for name, build in builds.items()}
    drawn = [f"{name}: {n:,}" for name, n in limits.items() if n and (kept[name] == n).any()]
    told = f" Drawn from more, the most that are kept: {'; '.join(drawn)}." if drawn else ""
    plot = plots.histogram(kept, "partners of an image", "images")
    spans = "; ".join(f"{n}: {k.min():,} to {k.max():,}" for n, k in kept.items())
    caption = f"How many images have how many partners.{told}"
    return Figure(svg(plot), f"Histogram of partners per image. {spans}.", caption)


def made(built: BuiltData) -> Section | None:
    """Of a data set of swapped images: whose region, whose background, and what came of it."""
    if not {"source_image_id", "donor_image_id"} <= set(built.data.rows.column_names):
        return None
    base = BuiltData(built.origin.dataset, built.project)
    if not (built.project.shards(base.name) / "manifest.json").is_file():
        return None
    ids = {end: built.data.rows[f"{end}_image_id"].to_pylist() for end in ("source", "donor")}
    text = (
        f"{len(built.data):,} images: the persons of {len(set(ids['source'])):,} images of "
        f"{base.name} before the backgrounds of {len(set(ids['donor'])):,}."
    )
    rows = [
        Row(
            f"person {built.persons[i]}",
            [_of(base, ids["source"][i]), _of(base, ids["donor"][i]), shot(built, i)],
        )
        for i in evenly(len(built.data), SHOWN).tolist()
    ]
    headings = ["person of", "background of", "made"]
    return Section(
        "Where the images come from", [Text(text), Sheet(rows, "Some of them.", headings)]
    )


def _of(base: BuiltData, image_id: str) -> Shot:
    position = base.positions.get(image_id)
    if position is None:  # the data set was built anew since
        return Shot(None, f"{image_id}: not in {base.name} any more", "gone")
    return shot(base, position, f"camera {base.data.labels('camera')[position]}")
