"""RAP v2: 23 cameras indoors in a shopping mall, crops of varying size, attributes and part boxes.

    RAP_annotation/RAP_annotation.mat   the labels, see `annotation.py`
    RAP_dataset/CAM01-2014-02-15-20140215161032-20140215162620-tarid0-frame218-line1.png
        = camera 1; day; begin and end of the recording; target, frame and line of its boxes

Of the 84,928 images the first 41,585 say who is seen: a person, or -1 for somebody without one.
The others are for attributes alone, and are not listed. Lists of images by the .mat's
partition_reid: train, query and gallery, where a query is in the gallery too and is kept from
finding itself because images of its own person and camera are left out. Somebody without a person
is in no role, whatever the lists say, as the authors' loaders have it: such images are rows of part
`test` that the default protocol leaves out and `rap_with_distractors` adds to the gallery. An image
of a person that is in no list, or one of a person in train and test, is a reject.

Viewpoint, hidden sides and part boxes are further columns, see `labels.py`.

Source   Li et al., A Richly Annotated Pedestrian Dataset for Person Retrieval in Real Surveillance
         Scenarios, IEEE Transactions on Image Processing 2019
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pyarrow as pa

from pipeline.datasets.base import Info, Listing, Reader, Reject
from pipeline.datasets.layouts import names
from pipeline.datasets.rap import annotation as rap_annotation
from pipeline.datasets.rap.annotation import CAMERAS, FOLDERS, LISTS, MAT, NOBODY, Annotation
from pipeline.datasets.rap.labels import EXTRA, labels_of
from pipeline.datasets.rap.writer import write

NAME = re.compile(r"CAM([0-9]{2})-[0-9]{4}-[0-9]{2}-[0-9]{2}-[0-9]{14}-[0-9]{14}"
                  r"-tarid[0-9]+-frame[0-9]+-line[0-9]+\.png")  # fmt: skip
LABELLED = 41_585  # images that say who is seen: the first ones

PUBLISHED = {  # images of train, query and gallery: from memory of the paper, not from its files
    "images": 41_585,
    "identities": 2_589,
    "train": 13_178,
    "train_identities": 1_295,
    "query": 7_202,
    "query_identities": 1_294,
    "gallery": 13_460,
    "gallery_identities": 1_294,
    "distractors": 14_947,
}

INFO = Info(
    title="RAP v2",
    layout=f"{MAT}, RAP_dataset/"
    "CAM01-2014-02-15-20140215161032-20140215162620-tarid0-frame218-line1.png",
    published=PUBLISHED,
    licence="academic use, by an agreement that is signed with its authors",
    where="https://github.com/dangweili/RAP",
    citation="Li, Zhang, Chen, Huang. A Richly Annotated Pedestrian Dataset for Person Retrieval "
    "in Real Surveillance Scenarios. IEEE Transactions on Image Processing 2019",
    note="Implicit attention (Yaghoubi et al.) was trained on 13,101 images and tested on 7,173 "
    "queries and a gallery of 13,392: its loader left out images without a pose record",
)


def read(root: Path) -> Listing:
    """List the images that say who is seen, by the labels; no image is decoded.

    A row that makes no sense is a reject. Raises `ReidError` where the folders or the .mat cannot
    be used at all.
    """
    names.locate(root, "", FOLDERS, INFO.title)
    labels = rap_annotation.load(root / MAT)
    files, odd = names.files_in(root / FOLDERS[1], FOLDERS[1])
    rejects = [*odd, *_strangers(files, labels)]
    members, notes = _members(labels)
    rejects += notes
    rows, bad = _rows(labels, members, set(files))
    rejects += bad
    extra, notes = labels_of(labels, rows["row"])
    rejects += notes
    table = names.listed({**rows, "viewpoint": extra.pop("viewpoint")})
    for field in EXTRA:
        table = table.append_column(field, pa.array(extra[field.name], field.type))
    counts = _count(rows)
    return Listing(table, counts, rejects, _protocols(counts))


def _strangers(files: list[str], labels: Annotation) -> list[Reject]:
    """Images that the .mat does not know."""
    known = set(labels.name)
    reason = f"not named in {MAT}"
    return [Reject(f"{FOLDERS[1]}/{names.printable(f)}", reason) for f in files if f not in known]


def _members(labels: Annotation) -> tuple[dict[str, set[int]], list[Reject]]:
    """Images of each list, from 0, and the entries that name none."""
    last = min(len(labels.person), LABELLED)
    members: dict[str, set[int]] = {}
    rejects = []
    for role, values in labels.lists.items():
        chosen = members.setdefault(role, set())
        for position, value in enumerate(values.tolist(), 1):
            reason = ""
            if not 1 <= value <= len(labels.name) or value != int(value):
                reason = f"{value:g} is no image; there are 1 to {len(labels.name):,}"
            elif value > last:
                reason = f"image {value:.0f} does not say who is seen; 1 to {last:,} do"
            elif int(value) - 1 in chosen:
                reason = f"names image {value:.0f} a second time"
            if reason:
                rejects.append(Reject(f"{MAT}#partition_reid.{LISTS[role]}/{position}", reason))
            else:
                chosen.add(int(value) - 1)
    return members, rejects


def _rows(
    labels: Annotation, members: dict[str, set[int]], files: set[str]
) -> tuple[dict[str, list[Any]], list[Reject]]:
    """Columns of the listing, `row` being that of the .mat, and the rows that are left out."""
    rows: list[dict[str, Any]] = []
    rejects: list[Reject] = []
    seen: dict[str, int] = {}
    split = _both_sides(labels, members)
    for row in range(min(len(labels.person), LABELLED)):
        name, person = labels.name[row], labels.person[row]
        roles = {role for role, images in members.items() if row in images}
        reason = _why_no_image(name, files) or _why_no_person(person, roles, split)
        if name in seen and not reason:
            reason = f"named by image {seen[name]} too"
        if reason or name is None:
            label = f"{MAT}#{row + 1}" if name is None else f"{FOLDERS[1]}/{names.printable(name)}"
            rejects.append(Reject(label, reason))
            continue
        seen[name] = row + 1
        if person == NOBODY:
            roles = set()
        rows.append({
            "row": row, "path": f"{FOLDERS[1]}/{name}", "image_id": f"{FOLDERS[1]}/{name[:-4]}",
            "part": "train" if "train" in roles else "test", "person": int(person),
            "camera": int(name[3:5]), **{role: role in roles for role in LISTS},
        })  # fmt: skip
    return names.columns_of(rows, "row"), rejects


def _why_no_image(name: str | None, files: set[str]) -> str:
    if name is None:
        return "its name is no text"
    match = NAME.fullmatch(name)
    if match is None:
        return "not a RAP name such as CAM01-2014-02-15-...-tarid0-frame218-line1.png"
    if not 1 <= int(match[1]) <= CAMERAS:
        return f"camera {match[1]}; RAP has cameras 01 to {CAMERAS}"
    return "" if name in files else f"no such file in {FOLDERS[1]}"


def _why_no_person(person: float, roles: set[str], split: set[float]) -> str:
    if not (person == NOBODY or 1 <= person <= 2**31 - 1) or person != int(person):
        return f"person_identity {person:g} is neither a person, from 1, nor {NOBODY}"
    if person == NOBODY:
        wrong = sorted(roles - {"gallery"})
        return f"in the list for {wrong[0]}, but without a person" if wrong else ""
    if person in split:
        return f"person {person:.0f} is in train and in test"
    return "" if roles else f"of person {person:.0f}, but in no list of partition_reid"


def _both_sides(labels: Annotation, members: dict[str, set[int]]) -> set[float]:
    """Persons that are in train and in test: which of the two is wrong cannot be known."""
    train = {labels.person[row] for row in members["train"]}
    test = {labels.person[row] for row in members["query"] | members["gallery"]}
    return (train & test) - {NOBODY}


# ---------------------------------------------------------------------------- counts and protocols


def _count(rows: dict[str, list[Any]]) -> dict[str, int]:
    person = rows["person"]
    return {
        "images": len(person), "identities": len(set(person) - {NOBODY}),
        **names.count_roles(rows, LISTS), "distractors": person.count(NOBODY),
    }  # fmt: skip


def _protocols(counts: dict[str, int]) -> list[dict[str, Any]]:
    """The gallery of persons, and the one with those added who have none."""
    rule = {"exclude": "same_person_same_camera", "junk": [NOBODY], "distractors": [],
            "query": "single"}  # fmt: skip
    plain = {
        "name": "rap", "title": "RAP v2, gallery without distractors", "published": PUBLISHED,
        "found": counts, "members": "columns", "rule": rule, "metrics": ["cmc", "map"],
    }  # fmt: skip
    more = {
        **plain,
        "name": "rap_with_distractors",
        "title": "RAP v2, gallery with distractors",
        "published": _with_distractors(PUBLISHED),
        "found": _with_distractors(counts),
        "members": {"columns_and": {"gallery": {"persons": [NOBODY]}}},
        "rule": {**rule, "junk": [], "distractors": [NOBODY]},
    }
    return [plain, more]


def _with_distractors(counts: dict[str, int]) -> dict[str, int]:
    return {**counts, "gallery": counts["gallery"] + counts["distractors"]}


READER = Reader(info=INFO, read=read, write=write, extra=EXTRA)
