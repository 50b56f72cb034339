"""Adds a downloaded data set to the project: a link, a digest, and its place in params.yaml.

Reads   the data set's folder through its reader: names alone
Writes  0-raw/<name>, a link to that folder; what `scan` writes; params.yaml, comments kept
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

from pipeline import datasets
from pipeline.builds.params_edit import Entry, with_entries
from pipeline.builds.remove import removal
from pipeline.builds.scan import check_name, scan
from pipeline.datasets.base import Listing, counts_table
from pipeline.stages import ingest
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
    split: float | None = None,
    small: bool = False,
    only: bool = False,
) -> list[str]:
    """Add the data set below `source` to the project in `root`; returns what to tell the user.

    `split` is the share of the persons that train, of a folder whose labels give no roles. `small`
    leaves out what begins with a download: a small network is trained from scratch. With `only`
    the rendered worlds, and what is built of them, are taken out.

    Checked before anything is written: `ReidError` where `source` is no such data set, where
    `name` is taken, or where params.yaml holds it with another reader. What is there already stays
    as it is, so that adding twice changes nothing and a stopped run is completed by the next.
    """
    project, layout = Project(root), datasets.reader(reader)
    name = check_name(name)
    entries = wanted(name, reader, joints_backend, joints_path, split=split, small=small)
    ingested = entries[0].values
    loaded = params.load(root)
    new = missing(loaded, entries)
    present = _check_free(loaded, name, ingested)
    values = {**params.section(loaded, "ingest", "with"), **ingested, **present}
    checked = params.check(ingest.Params, values, "ingest")
    listing = ingest.listed(layout, checked, source)
    if not listing.files.num_rows:
        raise ReidError(f"{source}: no image was found for reader {reader}")
    new = [_filled(e, listing) if small and e.group == "scale" else e for e in new]
    target = layout.locate(source)
    link, digest_path = project.raw(name), project.digest(name)
    linked = is_linked(link, source, target)
    file = root / params.PARAMS_FILE
    text = with_entries(file, loaded, new) if new else file.read_text("utf-8")
    worlds = [*params.section(loaded, "world", "on")] if only else []
    removed = removal(file, text, loaded, worlds)
    if not linked:
        _link(link, target)
    lines = list(_described(source, listing, layout.info.published))
    lines.append(f"{link}: {'is there already' if linked else f'linked to {_real(target)}'}")
    digest = scan(project, name)
    lines.append(f"{digest_path}: {digest['files']:,} files, {digest['bytes']:,} bytes")
    _make_folders(project)
    if new or worlds:
        write_atomically(file, removed.text.encode())
    if new:
        lines.append(f"{params.PARAMS_FILE}: added {', '.join(map(str, new))}")
        lines += [*_sizes(new, small), *_scaled(loaded, new), *_weights(loaded, new, reader)]
    else:
        lines.append(f"{params.PARAMS_FILE}: has {name} already; nothing to add")
    if worlds:
        lines.append(
            f"{params.PARAMS_FILE}: took out the rendered worlds {', '.join(worlds)} and what is "
            f"built of them, {len(removed.entries)} entries"
        )
    return [*lines, f"next: dvc repro {_first(entries, reader)}"]


def _filled(entry: Entry, listing: Listing) -> Entry:
    """A small training whose batch the persons that train fill: a batch has each of them once."""
    persons = len(listing.files.filter(listing.files["train"])["person"].unique())
    most = max(2, persons) * entry.values["images"]
    return entry._replace(values={**entry.values, "batch": min(entry.values["batch"], most)})


def _make_folders(project: Project) -> None:
    """What the report watches, also where nothing is built below: DVC wants it there."""
    for folder in (project.derived("x", "x").parents[1], project.reports / "accuracy"):
        folder.mkdir(parents=True, exist_ok=True)


def _first(entries: list[Entry], reader: str) -> str:
    """The DVC stage of an experiment that needs the fewest stages before it."""
    sizes = papers.full_size_of(reader)
    on = [entry for entry in entries if entry.section in sizes and entry.group == "on"]
    first = min(on, key=lambda entry: len(sizes[entry.section].stages))
    return f"{first.section}_evaluate@{first.key}"


def _sizes(new: list[Entry], small: bool) -> Iterable[str]:
    """A line on the small network, or why there is none."""
    scales = [entry for entry in new if entry.group == "scale"]
    for entry in scales if small else ():
        values = entry.values
        yield (
            f"{params.PARAMS_FILE}: {entry} is a small network from scratch ({values['backbone']} "
            f"of {values['channels'][-1]} channels, images of {values['height']} x "
            f"{values['width']}, {values['epochs']} epochs): nothing is downloaded"
        )
    if small and not scales:
        yield f"{params.PARAMS_FILE}: its scale was there already, and stays as it is"


def wanted(
    name: str, reader: str, joints_backend: str, joints_path: str,
    *, split: float | None = None, small: bool = False,
) -> list[Entry]:  # fmt: skip
    """The entries of a data set, first its own, then its stages' and its papers' experiments'."""
    if (joints_backend == "given") != bool(joints_path):
        raise ReidError("joints: a path goes with backend `given`, and it needs one")
    settings: dict[str, dict[str, Any]] = {"joints": {"backend": joints_backend}}
    if joints_path:
        settings["joints"]["path"] = joints_path
    drawn = {} if split is None else {"split": split, "split_seed": 0}
    entries = [Entry("ingest", name, {"reader": reader, **drawn})]
    sizes = papers.full_size_of(reader)
    if small:
        sizes = {paper: replace(f, scale=f.small) for paper, f in sizes.items() if f.small}
        if not sizes:
            raise ReidError(f"--small: no paper has a small training for reader {reader}")
    for paper, full_size in sizes.items():
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


def _check_free(loaded: dict[str, Any], name: str, ingested: dict[str, Any]) -> dict[str, Any]:
    """What params.yaml has of a name: it is new, or this reader's already with the same split."""
    if name in params.section(loaded, "world", "on"):
        raise ReidError(
            f"{params.PARAMS_FILE}: `{name}` is a rendered world; add yours by another --name"
        )
    present = params.section(loaded, "ingest", "on", name)
    for key in ("reader", "split") if present else ():
        if key in ingested and present.get(key) != ingested[key]:
            raise ReidError(
                f"{params.PARAMS_FILE}: ingest.on.{name} has {key} {present.get(key)}, not "
                f"{ingested[key]}; add this one by another --name"
            )
    return present


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
