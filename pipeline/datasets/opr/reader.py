"""OPR: a stereo camera above the door of a canteen; 64 people are seen as they enter and leave.

The data set is not published; its authors have no layout that is known. Ours is

    07/enter/rgb_000012.png     colour of person 7 entering (view 1), frame 12 (PNG or JPEG)
    07/enter/depth_000012.png   its depth: 16-bit PNG, millimetres, 0 = no reading
    07/leave/rgb_000003.png     the same person leaving (view 2)

or, where the files lie otherwise, opr.csv with the columns rgb, depth (paths below this folder),
person, view (enter or leave) and pair (the frame's number):

    rgb,depth,person,view,pair
    left/a12.png,disparity/a12.png,7,enter,12

Protocols `split-01` to `split-10`: half of the persons to train, both views; of the other half, who
leaves is searched among those who entered. Split k is drawn with k as the seed, among the persons
that are seen in both views; the first is the rows' columns.

Source   Lejbolle et al., Multimodal Neural Network for Overhead Person Re-identification, BIOSIG
         2017; splits: the same, Attention in Multimodal Neural Networks for Person
         Re-identification, CVPRW 2018
Differs  The paper's own ten splits are not known.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from pipeline.datasets.base import ALL_TRACKLETS, Info, Listing, Reader, Reject, Sample
from pipeline.datasets.layouts import names
from pipeline.datasets.layouts.rgbd import colour_of, depth_of
from pipeline.datasets.layouts.two_camera_splits import halves
from pipeline.datasets.opr.table import COLUMNS, TABLE, VIEWS, Frame, from_table
from reid.arrays.images import encode_png
from reid.project.errors import ReidError

PERSON = re.compile(r"[0-9]{1,6}")
FRAME = re.compile(r"(rgb|depth)_([0-9]{1,9})\.(png|jpg)")
SPLITS = 10
LIMITS = {"person": (1, 999_999), "camera": (1, 2), "frame": (0, 999_999_999)}

PUBLISHED = {"identities": 64, "train_identities": 32, "query_identities": 32,
             "gallery_identities": 32}  # fmt: skip

INFO = Info(
    title="OPR",
    layout=f"07/enter/rgb_000012.png, 07/enter/depth_000012.png, 07/leave/...; or {TABLE} with "
    f"{', '.join(COLUMNS)}",
    published=PUBLISHED,
    licence="not published; by agreement with its authors",
    where="Visual Analysis and Perception, Aalborg University, https://vap.aau.dk",
    citation="Lejbolle, Nasrollahi, Krogh, Moeslund. Multimodal Neural Network for Overhead Person "
    "Re-identification. BIOSIG 2017",
)


def read(root: Path) -> Listing:
    """List the frames; nothing is decoded. What is no whole frame is a reject.

    Raises `ReidError` where `root` or its table cannot be used, and where fewer than two persons
    are seen in both views.
    """
    rejects: list[Reject] = []
    source = from_table if names.is_file(root / TABLE) else _from_folders
    frames = sorted(source(root, rejects))
    both = _in_both_views(frames)
    if len(both) < 2:
        raise ReidError(f"{root}: {len(both)} persons are seen in both views; two are needed at "
                        f"least ({INFO.layout}){_first(rejects)}")  # fmt: skip
    splits = [split(both, seed) for seed in range(1, SPLITS + 1)]
    train, test = (set(persons) for persons in splits[0])
    columns = names.columns_of([
        {**f._asdict(), "part": "all", "image_id": f.path.rpartition(".")[0], "tracklet": 1,
         "train": f.person in train, "query": f.person in test and f.camera == 2,
         "gallery": f.person in test and f.camera == 1}
        for f in frames
    ])  # fmt: skip
    protocols = [_protocol(k, halves, frames) for k, halves in enumerate(splits, 1)]
    protocols[0]["members"] = "columns"
    return Listing(names.listed(columns), protocols[0]["found"], rejects, protocols)


def _first(rejects: list[Reject]) -> str:
    return f"; first reject: {rejects[0].image_id}: {rejects[0].reason}" if rejects else ""


def _in_both_views(frames: list[Frame]) -> list[int]:
    views = [{f.person for f in frames if f.camera == camera} for camera in (1, 2)]
    return sorted(views[0] & views[1])


def split(persons: list[int], seed: int) -> tuple[list[int], list[int]]:
    """Persons to train on and to test on, half and half; of an odd number, one more to test."""
    test, train = halves(persons, seed)
    return train, test


# ------------------------------------------------------------------------------------ the folders


def _from_folders(root: Path, rejects: list[Reject]) -> Iterator[Frame]:
    taken: dict[int, str] = {}
    for name in _folders_in(root, "", rejects):
        person = int(name) if PERSON.fullmatch(name) else 0
        if person < 1 or person in taken:
            reason = f"person {person} is {taken[person]} already" if person in taken else (
                "not a person's folder such as 07")  # fmt: skip
            rejects.append(Reject(names.printable(name), reason))
            continue
        taken[person] = name
        for view in _folders_in(root / name, f"{name}/", rejects):
            if view in VIEWS:
                yield from _view(root, person, f"{name}/{view}", VIEWS.index(view) + 1, rejects)
            else:
                label = f"{name}/{names.printable(view)}"
                rejects.append(Reject(label, f"not a view ({' or '.join(VIEWS)})"))


def _folders_in(folder: Path, label: str, rejects: list[Reject]) -> list[str]:
    """Sorted names of the folders in a folder. Files beside them are left alone at the top."""
    try:
        entries = sorted((p.name, p.is_dir()) for p in folder.iterdir() if not _is_hidden(p.name))
    except OSError as error:
        raise ReidError(f"{folder}: cannot be read: {error.strerror}") from None
    for name, is_folder in entries:
        if label and not is_folder:
            rejects.append(Reject(f"{label}{names.printable(name)}", "a file beside the views"))
    return [name for name, is_folder in entries if is_folder]


def _is_hidden(name: str) -> bool:
    return name.startswith(".") or names.is_clutter(name)


def _view(
    root: Path, person: int, below: str, camera: int, rejects: list[Reject]
) -> Iterator[Frame]:
    """Frames of which both colour and depth are there."""
    files, odd = names.files_in(root / below, below)
    rejects += odd
    by_kind: dict[str, dict[int, str]] = {"rgb": {}, "depth": {}}
    for name in files:
        match = FRAME.fullmatch(name)
        reason = "" if match else "not a frame such as rgb_000012.png or depth_000012.png"
        if match and match[1] == "depth" and match[3] != "png":
            reason = "depth must be a 16-bit PNG"
        elif match and int(match[2]) in by_kind[match[1]]:
            reason = f"frame {int(match[2])} is {by_kind[match[1]][int(match[2])]} already"
        if match is None or reason:
            rejects.append(Reject(f"{below}/{names.printable(name)}", reason))
        else:
            by_kind[match[1]][int(match[2])] = name
    colour, depth = by_kind["rgb"], by_kind["depth"]
    for frame in sorted(colour.keys() ^ depth.keys()):
        name, reason = (
            (colour[frame], "no depth") if frame in colour else (depth[frame], "no colour")
        )
        rejects.append(Reject(f"{below}/{name}", f"{reason} of frame {frame}"))
    for frame in sorted(colour.keys() & depth.keys()):
        yield Frame(person, camera, frame, f"{below}/{colour[frame]}", f"{below}/{depth[frame]}")


# ------------------------------------------------------------------------------ protocols, writing


def _protocol(
    number: int, halves: tuple[list[int], list[int]], frames: list[Frame]
) -> dict[str, Any]:
    train, test = halves
    held = set(test)
    counts = {
        "images": len(frames), "identities": len({f.person for f in frames}),
        "train": sum(f.person in set(train) for f in frames), "train_identities": len(train),
        "query": sum(f.person in held and f.camera == 2 for f in frames),
        "query_identities": len(test),
        "gallery": sum(f.person in held and f.camera == 1 for f in frames),
        "gallery_identities": len(test),
    }  # fmt: skip
    return {
        "name": f"split-{number:02d}",
        "title": f"OPR, split {number} of {SPLITS}",
        "published": PUBLISHED,
        "found": counts,
        "members": {
            "train": {"persons": train},
            "query": {"persons": test, "cameras": [2]},
            "gallery": {"persons": test, "cameras": [1]},
        },
        "rule": {**ALL_TRACKLETS, "seed": number},
        "metrics": ["cmc"],
    }


def write(root: Path, samples: Iterable[Sample]) -> Iterator[str]:
    """Write samples as folders; yields the image_id of each, in order.

    Camera 1 is entering, 2 leaving; roles and tracklets are not written. Raises `ReidError`
    where a label does not fit, and where a frame is written twice.
    """
    names.new_folder(root)
    for sample in samples:
        names.check_labels(sample, "OPR", LIMITS)
        folder = root / f"{sample.person:02d}" / VIEWS[sample.camera - 1]
        depth, (ending, data) = depth_of(sample), colour_of(sample)
        if not folder.is_dir():
            names.new_folder(folder)
        if (folder / f"depth_{sample.frame:06d}.png").exists():
            raise ReidError(f"{folder}: two frames {sample.frame}")
        names.write_file(folder / f"rgb_{sample.frame:06d}.{ending}", data)
        names.write_file(folder / f"depth_{sample.frame:06d}.png", encode_png(depth))
        yield f"{folder.relative_to(root).as_posix()}/rgb_{sample.frame:06d}"


READER = Reader(info=INFO, read=read, write=write)
