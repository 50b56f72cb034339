"""Adds a downloaded data set to the project: a link, a digest, and its place in params.yaml.

Reads   the data set's folder through its reader: names alone
Writes  0-raw/<name>, a link to that folder; 0-raw/<name>.json; params.yaml, comments kept
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pipeline import datasets
from pipeline.builds.params_edit import Entry, with_entries
from pipeline.builds.scan import check_name, scan
from pipeline.datasets.base import Listing, counts_table
from reid.project import params
from reid.project.errors import ReidError
from reid.project.layout import Project, write_atomically

STILL = ("market1501", "dukemtmc_reid", "cuhk03_labeled", "cuhk03_detected", "folder")
VIDEO = ("mars", "dukemtmc_video", "ilids_vid", "prid2011")
TWO_CAMERAS = ("ilids_vid", "prid2011")  # of them: pairs of tracklets, for the siamese network
STAGES = {  # by reader: derived stages that its papers use
    **dict.fromkeys(STILL, ("joints", "parts")),
    **dict.fromkeys(VIDEO, ("flow",)),
    "rap": ("masks", "backgrounds"),
}
PART_NETWORK = {  # what follows the data set's name, and the parameters
    "baseline": {"model": "baseline"},
    "intra-inter": {"model": "intra_inter"},
}
STRONG = {"strong": {}}
SWAPS = {
    "baseline": {"swap_probability": 0},
    "full-body": {"swap_probability": 0.3},
}
MUTUAL = {
    "one-stream": {"model": "one_stream", "aggregation": "average"},
    "mutual": {"sequence_length": 16},  # of the paper's best numbers
}
EXPERIMENTS = {  # by reader and paper
    **{reader: {"mutual_attention": MUTUAL} for reader in VIDEO},
    **{reader: {"attention_driven": PART_NETWORK, "strong_baseline": STRONG} for reader in STILL},
    "rap": {"implicit_attention": SWAPS},
}

# Stages that may be built several times
READ_BUILDS = {"implicit_attention": ("backgrounds",), "mutual_attention": ("flow",)}

RGB_D = "multimodal_attention"
RGB_D_CNN, MAT = {"model": "rgb_d_cnn"}, {"model": "mat"}
OVERHEAD = {  # by reader: networks of colour and depth over its frames, and over crops of them
    "tvpr": ({"rgb-d-full-frames": RGB_D_CNN}, {"rgb-d": RGB_D_CNN, "mat": MAT}),
    "dpit": ({"rgb-d": RGB_D_CNN, "mat": MAT}, {}),
    "opr": ({"rgb-d": RGB_D_CNN, "mat": MAT}, {}),
}
POOLED = {"tvpr": {"pool": "max"}}  # of a passage's images, where it is not the paper's mean


def add(
    root: Path,
    name: str,
    reader: str,
    source: Path,
    *,
    joints_backend: str = "mmpose",
    joints_path: str = "",
) -> list[str]:
    """Add the data set below `source` to the project in `root`; returns what to tell the user.

    Checked before anything is written: `ReidError` where `source` is no such data set, where
    `name` is taken, or where params.yaml holds it with another reader. What is there already stays
    as it is, so that adding twice changes nothing and a stopped run is completed by the next.
    """
    project, layout = Project(root), datasets.reader(reader)
    entries = wanted(check_name(name), reader, joints_backend, joints_path)
    loaded = params.load(root)
    new = missing(loaded, entries)
    _check_free(loaded, name, reader)
    listing = layout.read(source)
    if not listing.files.num_rows:
        raise ReidError(f"{source}: no image was found for reader {reader}")
    target = layout.locate(source)
    link, digest_path = project.raw(name), project.digest(name)
    linked = is_linked(link, source, target)
    text = with_entries(root / params.PARAMS_FILE, loaded, new)
    if not linked:
        _link(link, target)
    lines = list(_described(source, listing, layout.info.published))
    lines.append(f"{link}: {'is there already' if linked else f'linked to {_real(target)}'}")
    digest = scan(link.parent, name)
    lines.append(f"{digest_path}: {digest['files']:,} files, {digest['bytes']:,} bytes")
    if not new:
        return [*lines, f"{params.PARAMS_FILE}: has {name} already; nothing to add"]
    write_atomically(root / params.PARAMS_FILE, text.encode())
    lines.append(f"{params.PARAMS_FILE}: added {', '.join(map(str, new))}")
    return [*lines, *_scaled(loaded, new), *_weights(loaded, new)]


def wanted(name: str, reader: str, joints_backend: str, joints_path: str) -> list[Entry]:
    """The entries of a data set, its stages and its papers' experiments at full size."""
    if (joints_backend == "given") != bool(joints_path):
        raise ReidError("joints: a path goes with backend `given`, and it needs one")
    settings: dict[str, dict[str, Any]] = {"joints": {"backend": joints_backend}}
    if joints_path:
        settings["joints"]["path"] = joints_path
    entries = [Entry("ingest", name, {"reader": reader})]
    entries += [
        Entry(stage, name, {"dataset": name, **settings.get(stage, {})})
        for stage in STAGES.get(reader, ())
    ]
    for paper, models in EXPERIMENTS.get(reader, {}).items():
        entries.append(Entry(paper, name, {}, "scale"))  # nothing: the paper's own size
        for suffix, values in models.items():
            own: dict[str, Any] = {"dataset": name}
            if paper in READ_BUILDS:  # which DVC reads from here
                own["builds"] = dict.fromkeys(READ_BUILDS[paper], name)
            entries.append(Entry(paper, f"{name}-{suffix}", {**own, **values}))
    return entries + _overhead(name, reader) + _siamese(name, reader)


def _siamese(name: str, reader: str) -> list[Entry]:
    """The siamese video network, whose input has the flow of Lucas and Kanade."""
    if reader not in TWO_CAMERAS:
        return []
    paper, build = "attentive_convlstm", f"{name}-lucas-kanade"
    return [
        Entry("flow", build, {"dataset": name, "backend": "lucas_kanade"}),
        Entry(paper, name, {"builds": {"flow": build}}, "scale"),
        Entry(paper, f"{name}-convlstm", {"dataset": name, "builds": {"flow": build}}),
    ]


def _overhead(name: str, reader: str) -> list[Entry]:
    """Depth as colours, and networks that take it, of a data set seen from above."""
    entries: list[Entry] = []
    on_frames, on_crops = OVERHEAD.get(reader, ({}, {}))
    if on_crops:
        entries.append(Entry("crops", name, {"dataset": name}))
    sources = (  # the data set, the folder of its rows, the build of `jet`
        (name, f"1-shards/{name}", name, on_frames),
        (f"crops/{name}", f"2-derived/crops/{name}", f"{name}-crops", on_crops),
    )
    for dataset, rows, build, models in sources:
        if models:
            read, builds = {"dataset": dataset, "rows": rows}, {"builds": {"jet": build}}
            shared = POOLED.get(reader, {})
            own_build = {} if build == dataset else builds  # rows of tables find it here
            entries.append(Entry("jet", build, read))
            entries.append(Entry(RGB_D, dataset, {**shared, **own_build}, "scale"))
            entries += [
                Entry(RGB_D, f"{name}-{suffix}", {**read, **builds, **values})
                for suffix, values in models.items()
            ]
    return entries


def missing(loaded: dict[str, Any], entries: Iterable[Entry]) -> list[Entry]:
    """The entries that params.yaml does not have yet, whatever they say there."""
    return [e for e in entries if e.key not in params.section(loaded, e.section, e.group)]


def _check_free(loaded: dict[str, Any], name: str, reader: str) -> None:
    """The name may be new, or be this reader's already."""
    if name in params.section(loaded, "world", "on"):
        raise ReidError(
            f"{params.PARAMS_FILE}: `{name}` is a rendered world; add yours by another --name"
        )
    present = params.section(loaded, "ingest", "on", name).get("reader", reader)
    if present != reader:
        raise ReidError(
            f"{params.PARAMS_FILE}: ingest.on.{name} has reader {present}, not {reader}; "
            "add this one by another --name"
        )


def is_linked(link: Path, source: Path, target: Path) -> bool:
    """Whether `link` is or leads to `source` or its `target`; `ReidError` where it is another."""
    found = _real(link)
    if found in (_real(source), _real(target)):
        return True
    if found.is_relative_to(_real(target)):
        raise ReidError(f"{target}: holds {link}, where it would be linked; move the data set out")
    if link.is_symlink():
        raise ReidError(
            f"{link}: links to {link.readlink()}, not to {target}; remove it, or use another --name"
        )
    if link.exists():
        raise ReidError(f"{link}: is there already, and no link to {target}; use another --name")
    return False


def _real(path: Path) -> Path:
    return Path(os.path.realpath(path))  # unlike Path.resolve, no error where links go round


def _link(link: Path, target: Path) -> None:
    try:
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(_real(target), target_is_directory=True)
    except OSError as error:
        raise ReidError(f"{link}: cannot be linked to {target}: {error.strerror}") from None


def _described(source: Path, listing: Listing, published: dict[str, int]) -> Iterable[str]:
    yield f"{source}: {listing.files.num_rows:,} images, {len(listing.rejects):,} rejects"
    for reject in listing.rejects[:3]:
        yield f"  {reject.image_id}: {reject.reason}"
    yield from (f"  {note}" for note in listing.notes)
    differs = [row for row in counts_table(published, listing.found) if row[3]]
    if differs:
        counts = ", ".join(f"{n} {found or 0:,} ({said:,})" for n, said, found, _ in differs)
        yield f"counts that differ from the published ones (in brackets): {counts}"


def _scaled(loaded: dict[str, Any], new: list[Entry]) -> Iterable[str]:
    """A line for each paper whose own `with` keeps a full-size experiment from the paper's size."""
    papers = {RGB_D, *(paper for models in EXPERIMENTS.values() for paper in models)}
    for section in sorted({e.section for e in new} & papers):
        scaled = sorted({*params.section(loaded, section, "with")} - {"dataset", "seed", "weights"})
        if scaled:
            yield (
                f"{params.PARAMS_FILE}: {section}.with sets {', '.join(scaled)} for these too; for "
                f"the paper's own size give these keys in the new entries"
            )


def _weights(loaded: dict[str, Any], new: list[Entry]) -> Iterable[str]:
    """A line where networks begin from weights that do not come with the project."""
    scales = [e for e in new if (e.section, e.group) == (RGB_D, "scale")]
    if scales and not params.section(loaded, RGB_D, "with").get("weights"):
        yield (
            f"{params.PARAMS_FILE}: the paper begins from CaffeNet's published weights: give "
            f"`weights: PATH` (.caffemodel or .safetensors) in {' and '.join(map(str, scales))}"
        )
