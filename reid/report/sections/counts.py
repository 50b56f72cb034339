"""What a data set holds: roles, identities, cameras, stages, filled joints, rejects."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import numpy as np

from reid.arrays.draw import PARTS
from reid.data.dataset import ROLES
from reid.report import plots
from reid.report.blocks import NONE, Figure, Section, Table, Text, percent, svg, table, text_of
from reid.results.built import BuiltData

REASONS = 20  # groups of rejects that are listed for a stage ...
EXAMPLES = 3  # ... and images of each
SOURCES = {  # of part boxes, as the stage names them
    "pose": "all joints were confident",
    "canonical": "missing joints filled in from the canonical pose that fits best",
    "mean": "too few confident joints: the mean pose over the whole image",
    "strips": "no joints: the image and its four equal strips",
}


def roles(built: BuiltData) -> Section:
    """Counts by role, and beside the published ones."""
    camera, person = built.data.labels("camera"), built.persons
    lines = []
    for role in ROLES:
        mask = built.data.labels(role).astype(bool)
        lines.append({"role": role, **_counts(person[mask], camera[mask])})
    lines.append({"role": "all images", **_counts(person, camera)})
    caption = (
        "Images, identities and cameras by role under the default rule. Junk and distractors are "
        "images of nobody who is searched for; an image may have several roles."
    )
    return Section("Counts", [table(lines, caption), *_published(built)])


def _counts(person: np.ndarray, camera: np.ndarray) -> dict[str, int]:
    known = person[person > 0]
    return {
        "images": len(person),
        "identities": len(np.unique(known)),
        "cameras": len(np.unique(camera)),
        "junk and distractors": len(person) - len(known),
    }


def _published(built: BuiltData) -> list[Table]:
    """For each protocol what is published and what was found; splits of one kind told together."""
    kinds: dict[str, list[dict[str, Any]]] = {}
    for protocol in built.data.protocol.get("protocols", []):
        kind = json.dumps([protocol.get("rule"), protocol.get("published")], sort_keys=True)
        kinds.setdefault(kind, []).append(protocol)
    return [
        table_
        for alike in kinds.values()
        for table_ in (_beside_published(alike[0]), _further(alike))
        if table_ is not None
    ]


def _beside_published(protocol: dict[str, Any]) -> Table | None:
    published, found = protocol.get("published", {}), protocol.get("found", {})
    lines = [
        {
            "count": name.replace("_", " "),
            "published": published.get(name),
            "found here": found.get(name),
            "difference": _difference(published.get(name), found.get(name)),
        }
        for name in dict.fromkeys([*published, *found])
    ]
    rule = "; ".join(f"{k}: {_words(v)}" for k, v in sorted(protocol.get("rule", {}).items()))
    caption = (
        f"Protocol {protocol.get('name', '')} ({protocol.get('title', '')}). Rule: {rule}. "
        "Published counts are those of the original data set: a world rendered in its layout, "
        "or a part of it, has others."
    )
    return table(lines, caption) if lines else None


def _further(alike: list[dict[str, Any]]) -> Table | None:
    """Protocols of one rule and the same published counts: those counts in which they differ."""
    found = [protocol.get("found", {}) for protocol in alike]
    names = [n for n in dict.fromkeys(n for each in found for n in each)
             if len({each.get(n) for each in found}) > 1]  # fmt: skip
    lines = [
        {"protocol": protocol.get("name"), **{n.replace("_", " "): each.get(n) for n in names}}
        for protocol, each in zip(alike, found, strict=True)
    ]
    caption = f"{len(alike)} protocols of this rule; the counts in which they differ."
    return table(lines, caption, folded=True) if len(alike) > 1 else None


def _words(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "none"
    return str(value).replace("_", " ")


def _difference(published: int | None, found: int | None) -> str:
    if published is None or found is None:
        return NONE
    return "none" if published == found else f"{found - published:+,}"


def spread(built: BuiltData) -> Section | None:
    """How many images each identity and each camera has."""
    person, camera = built.persons, built.data.labels("camera")
    each = {
        name: np.unique(person[mask & (person > 0)], return_counts=True)[1]
        for name, mask in built.parts.items()
    }
    each = {name: images for name, images in each.items() if len(images)}
    if not each:
        return None
    cameras = np.unique(camera)
    by_camera = {
        name: [int((camera[mask] == c).sum()) for c in cameras]
        for name, mask in built.parts.items()
    }
    spans = "; ".join(f"{name}: {_span(n)}" for name, n in each.items())
    totals = np.sum(list(by_camera.values()), axis=0)
    most = "; ".join(f"camera {c}: {n:,}" for c, n in zip(cameras, totals, strict=True))
    blocks = [
        Figure(
            svg(plots.histogram(each, "images of an identity", "identities")),
            f"Histogram of images per identity. {spans}.",
            f"How many identities have how many images. {spans}.",
        ),
        Figure(
            svg(plots.bars([str(c) for c in cameras], by_camera, "camera", "images")),
            f"Bars of images per camera. {most}.",
            f"Images per camera. {most if len(cameras) <= 12 else f'{len(cameras)} cameras'}.",
        ),
    ]
    return Section("Images per identity and camera", blocks)


def _span(images: np.ndarray) -> str:
    """How many images the identities have, in words."""
    people = text_of(len(images)) + (" identity" if len(images) == 1 else " identities")
    if images.min() == images.max():
        return f"{people} of {images[0]:,} images"
    return f"{people} of {images.min():,} to {images.max():,} images, median {np.median(images):g}"


def stages(built: BuiltData) -> Section:
    """What is built of the data set."""
    lines = [
        {
            "stage": build.label,
            "rows": build.manifest["rows"],
            "rejects": build.manifest["rejects"],
            "shards": len(build.manifest["shards"]),
            "megabytes": f"{sum(s['bytes'] for s in build.manifest['shards']) / 1e6:,.2f}",
            "parameters": "; ".join(
                f"{k} {text_of(v)}" for k, v in sorted(build.parameters.items()) if v != ""
            ),
        }
        for build in [built.origin, *built.derived]
    ]
    return Section("Stages", [table(lines, "What is built, and with which parameters.")])


def parts(built: BuiltData) -> Section | None:
    """Where the part boxes come from, and how many joints were made up for them."""
    if not built.has("parts_source"):
        return None
    everything = np.arange(len(built.data))
    source = np.array([s or "rejected" for s in built.data.values("parts_source", everything)])
    filled = np.array([f or 0 for f in built.data.values("joints_filled", everything)])
    lines = []
    for name in [*SOURCES, *sorted(set(source.tolist()) - set(SOURCES))]:
        line: dict[str, Any] = {"boxes from": name, "meaning": SOURCES.get(name, "")}
        for part, mask in built.parts.items():
            count = int((mask & (source == name)).sum())
            line[f"{part} images"] = count
            line[f"{part} %"] = percent(count / mask.sum())
        chosen = filled[source == name]
        line["joints filled, mean of 18"] = (
            f"{chosen.mean():.1f}" if len(chosen) and name != "strips" else NONE
        )
        lines.append(line)
    made_up = int(filled[np.isin(source, ["canonical", "mean"])].sum())
    known = int((source != "strips").sum())
    text = (
        f"{made_up:,} of {18 * known:,} joints ({percent(made_up / max(1, 18 * known))} %) were "
        f"filled in; {int((source == 'strips').sum()):,} of {len(source):,} images had no joints "
        f"at all. Boxes: {', '.join(PARTS)}."
    )
    caption = (
        "Where the part boxes come from. The two upper rows lie on the body, the lower two not."
    )
    return Section("Joints and part boxes", [Text(text), table(lines, caption)])


def rejects(built: BuiltData) -> Section:
    """Rejected rows of each stage by reason, with the first images of each."""
    blocks: list[Text | Table] = []
    builds = [built.origin, *built.derived]
    for build in builds:
        found = build.rejects
        if not found.num_rows:
            continue
        reasons, ids = found["reason"].to_pylist(), found["image_id"].to_pylist()
        groups = sorted(Counter(reasons).items(), key=lambda group: (-group[1], group[0]))
        lines = []
        for reason, count in groups[:REASONS]:
            first = [i for i, r in zip(ids, reasons, strict=True) if r == reason][:EXAMPLES]
            more = ", ..." if count > len(first) else ""
            lines.append({"reason": reason, "rows": count, "first": ", ".join(first) + more})
        left = f" {len(groups) - REASONS} further reasons are in rejects.parquet." if (
            len(groups) > REASONS
        ) else ""  # fmt: skip
        caption = f"{build.label}: {found.num_rows:,} rejected, by reason.{left}"
        blocks.append(table(lines, caption))
    if not blocks:
        blocks.append(Text(f"Nothing was rejected by {', '.join(b.label for b in builds)}."))
    return Section("Rejects", blocks)
