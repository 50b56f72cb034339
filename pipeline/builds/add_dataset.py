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
from reid import papers
from reid.papers import PAPERS
from reid.papers.full_size import named
from reid.project import params
from reid.project.errors import ReidError
from reid.project.layout import Project, write_atomically


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
    return [*lines, *_scaled(loaded, new), *_weights(loaded, new, reader)]


def wanted(name: str, reader: str, joints_backend: str, joints_path: str) -> list[Entry]:
    """The entries of a data set, its stages and its papers' experiments at full size."""
    if (joints_backend == "given") != bool(joints_path):
        raise ReidError("joints: a path goes with backend `given`, and it needs one")
    settings: dict[str, dict[str, Any]] = {"joints": {"backend": joints_backend}}
    if joints_path:
        settings["joints"]["path"] = joints_path
    entries = [Entry("ingest", name, {"reader": reader})]
    for paper, full_size in papers.full_size_of(reader).items():
        for stage, builds in full_size.stages.items():
            for build, values in named(builds, name).items():
                entries.append(Entry(stage, build, {**values, **settings.get(stage, {})}))
        for group, given in (("scale", full_size.scale), ("on", full_size.experiments)):
            own = named(given, name).items()
            entries += [Entry(paper, key, v, group, full_size.comments) for key, v in own]
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
    for section in sorted({e.section for e in new} & {*PAPERS}):
        scaled = sorted({*params.section(loaded, section, "with")} - {"dataset", "seed", "weights"})
        if scaled:
            yield (
                f"{params.PARAMS_FILE}: {section}.with sets {', '.join(scaled)} for these too; for "
                f"the paper's own size give these keys in the new entries"
            )


def _weights(loaded: dict[str, Any], new: list[Entry], reader: str) -> Iterable[str]:
    """A line where networks begin from weights that do not come with the project."""
    for paper, full_size in papers.full_size_of(reader).items():
        scales = [e for e in new if (e.section, e.group) == (paper, "scale")]
        given = params.section(loaded, paper, "with").get("weights")
        if full_size.weights and scales and not given:
            yield (
                f"{params.PARAMS_FILE}: the paper begins from {full_size.weights} in "
                f"{' and '.join(map(str, scales))}"
            )
