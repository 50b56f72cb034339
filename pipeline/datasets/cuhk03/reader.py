"""CUHK03: five pairs of cameras on a campus, a person in one pair alone, boxes of varying size.

    cuhk03_release/cuhk-03.mat                 labeled and detected: per camera pair a cell of
                                               (persons, 10) images, 5 of each view; testsets
    cuhk03_new_protocol_config_labeled.mat     beside it or above: the 767/700 protocol; or in place
    cuhk03_new_protocol_config_detected.mat    of all three the copy that is cut for it:
    cuhk03-np/labeled/bounding_box_train/0001_c1_1.png = person 1, view 1, image 1

Boxes by hand (labeled) and by a detector (detected) are two data sets: the modules cuhk03_labeled
and cuhk03_detected read one each, through the functions here. The .mat comes first where both are.

An image of the .mat is called {pair}_{index:03}_{view}_{number:02}, as in 2_017_1_03: number 1 to 5
is view 1, 6 to 10 view 2. Its person is the 1-based running number over pair, then index (also
where a person has no image); its camera is 2 pair - 1 in view 1 and 2 pair in view 2, ten in all.
The copy has persons and views of its own: its cameras are 1 and 2.

Protocols: `new` (767 persons to train, 700 to test) is the first where it is there. `classic-01` to
`classic-20` are the 20 splits of the .mat. Their members are persons,

    {"train": {"persons": [1, 3, ...]}, "test": {"persons": [2, ...]}}

every image of a test person being query and gallery both; the gallery of a trial is one image of
each, drawn anew. A probe of either view sees the other one alone, of all pairs of cameras (`views`:
2 in the rule). Without `new`, classic-01 is the first, and its members are the rows' columns.

Source   Li et al., DeepReID: Deep Filter Pairing Neural Network, CVPR 2014; the new protocol: Zhong
         et al., Re-ranking Person Re-identification with k-reciprocal Encoding, CVPR 2017
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipeline.datasets.base import Info, Listing, Reject, Source
from pipeline.datasets.cuhk03.container import EMPTY, MAT, RELEASE, SHOTS, SPLITS, Mat, image_name
from pipeline.datasets.cuhk03.new_protocol import (
    NAME,
    config_name,
    find_config,
    read_config,
)
from pipeline.datasets.cuhk03.protocols import (
    PUBLISHED,
    classic_protocol,
    counts,
    new_protocol,
)
from pipeline.datasets.layouts import names
from reid.arrays.images import BadImage, encode_png
from reid.project.errors import ReidError

KINDS = ("labeled", "detected")
COPY = "cuhk03-np"
FOLDERS = {"train": "bounding_box_train", "query": "query", "gallery": "bounding_box_test"}
COPIED = re.compile(r"([0-9]{4})_c([12])_[0-9]{1,4}\.(?:png|jpg)")  # in the copy


def info(kind: str) -> Info:
    """What a user needs to know of the boxes of one kind."""
    return Info(
        title=f"CUHK03, {kind}",
        layout=f"{RELEASE}/{MAT} with {config_name(kind)} beside {RELEASE}, or "
        f"{COPY}/{kind}/bounding_box_train/0001_c1_1.png with query and bounding_box_test",
        published=PUBLISHED[kind],
        licence="academic use; its authors ask that research that uses it cites them",
        where="http://www.ee.cuhk.edu.hk/~xgwang/CUHK_identification.html; the new protocol: "
        "https://github.com/zhunzhong07/person-re-ranking",
        citation="Li, Zhao, Xiao, Wang. DeepReID: Deep Filter Pairing Neural Network for Person "
        "Re-identification. CVPR 2014",
    )


def read(root: Path, kind: str) -> Listing:
    """List the images of one kind; nothing is decoded.

    A broken image, file name or split is a reject; a .mat that cannot be read is a `ReidError`.
    """
    for below in (MAT, f"{RELEASE}/{MAT}"):
        if names.is_file(root / below):
            return _read_mat(root, below, kind)
    for below in (f"{COPY}/{kind}", kind, ""):
        if any(names.is_folder(root / below / folder) for folder in FOLDERS.values()):
            return _read_copy(root, below, kind)
    raise ReidError(f"{root}: no CUHK03 download (expected {RELEASE}/{MAT} or {COPY}/{kind}/)")


# -- the .mat file --------------------------------------------------------------------------


@dataclass
class Images:
    """Columns of the listing, one entry per image."""

    path: list[str] = field(default_factory=list)
    image_id: list[str] = field(default_factory=list)
    person: list[int] = field(default_factory=list)
    camera: list[int] = field(default_factory=list)


def _read_mat(root: Path, below: str, kind: str) -> Listing:
    mat = Mat(root / below, kind)
    try:
        images, rejects = _images(mat, below, kind)
        config = find_config(root, below, kind)
        roles = read_config(config) if config else None
        splits = _splits(mat, rejects, roles is not None)
    finally:
        mat.file.close()
    if roles is not None:
        known = {*images.image_id, *(r.image_id for r in rejects)}
        gone = sorted(name for name in roles if f"{kind}/{name}" not in known)
        rejects += [
            Reject(f"{kind}/{n}", f"in {config_name(kind)}, but not in {MAT}") for n in gone
        ]
    return _listing(images, rejects, kind, roles, splits)


def _images(mat: Mat, below: str, kind: str) -> tuple[Images, list[Reject]]:
    images, rejects = Images(), []
    for pair, cells in enumerate(mat.pairs, 1):
        for index in range(1, len(cells) + 1):
            for number in range(1, 2 * SHOTS + 1):
                _, reason = mat.cell(pair, index, number)
                if reason == EMPTY:
                    continue
                image_id = f"{kind}/{image_name(pair, index, number)}"
                if reason:
                    rejects.append(Reject(image_id, reason))
                    continue
                images.path.append(f"{below}#{image_id}")
                images.image_id.append(image_id)
                images.person.append(mat.offsets[pair - 1] + index)
                images.camera.append(2 * pair - (number <= SHOTS))
    return images, rejects


def _splits(mat: Mat, rejects: list[Reject], has_default: bool) -> dict[str, list[int]]:
    """Test persons by protocol. A broken split is a reject, unless there is no other default."""
    try:
        references = mat.variable("testsets", SPLITS)
    except ReidError as error:
        if not has_default:
            raise
        rejects.append(Reject("testsets", str(error).removeprefix(f"{mat.path}: ")))
        return {}
    splits = {}
    for k, reference in enumerate(references, 1):
        try:
            splits[f"classic-{k:02d}"] = mat.split(reference)
        except ValueError as error:
            rejects.append(Reject(f"testsets/{k:02d}", str(error)))
    if "classic-01" not in splits and not has_default:
        reason = next(r.reason for r in rejects if r.image_id == "testsets/01")
        raise ReidError(f"{mat.path}: split 1 of `testsets`: {reason}")
    return splits


def _listing(
    images: Images,
    rejects: list[Reject],
    kind: str,
    roles: dict[str, set[str]] | None,
    splits: dict[str, list[int]],
) -> Listing:
    columns: dict[str, list[Any]] = vars(images).copy()
    if roles is None:
        test = set(splits["classic-01"])
        columns["part"] = ["all"] * len(images.person)
        columns["train"] = [person not in test for person in images.person]
        columns["query"] = columns["gallery"] = [person in test for person in images.person]
    else:
        of = [roles.get(image_id.partition("/")[2], set()) for image_id in images.image_id]
        columns |= {role: [role in has for has in of] for role in FOLDERS}
        columns["part"] = ["train" if train else "test" for train in columns["train"]]
    classic = [classic_protocol(name, test, images.person, kind) for name, test in splits.items()]
    if roles is None:
        classic[0]["members"] = "columns"
        return Listing(names.listed(columns), classic[0]["found"], rejects, classic)
    counted = counts(columns)
    return Listing(names.listed(columns), counted, rejects, [new_protocol(counted, kind), *classic])


def open_source(root: Path) -> Source:
    """Bytes by the paths of the listing: files as they are, images of the .mat as PNG."""
    opened: dict[tuple[str, str], Mat] = {}

    def source(path: str) -> bytes:
        file, hash_sign, image_id = path.partition("#")
        if not hash_sign:
            try:
                return names.read_file(root / file)
            except OSError as error:
                raise BadImage(f"cannot be read: {error.strerror}") from None
        kind, _, name = image_id.partition("/")
        match = NAME.fullmatch(name)
        if match is None or kind not in KINDS:
            raise BadImage(f"no image of {MAT} has this name")
        if (file, kind) not in opened:
            opened[file, kind] = Mat(root / file, kind)
        pair, index, _, number = map(int, match.groups())
        return encode_png(opened[file, kind].image(pair, index, number))

    return source


# -- the copy ------------------------------------------------------------------------------


def _read_copy(root: Path, below: str, kind: str) -> Listing:
    home = names.locate(root / below, "", FOLDERS.values(), f"CUHK03 {kind}")
    prefix = f"{below}/" if below else ""
    rows: list[dict[str, Any]] = []
    rejects: list[Reject] = []
    for role, folder in FOLDERS.items():
        files, odd = names.files_in(home / folder, folder)
        rejects += odd
        taken: set[str] = set()
        for name in files:
            match = COPIED.fullmatch(name)
            if match is None or match[1] == "0000" or name[:-4] in taken:
                reason = "not a CUHK03 name such as 0001_c1_1.png"
                if name[:-4] in taken:
                    reason = "a second image of this name"
                rejects.append(Reject(f"{folder}/{names.printable(name)}", reason))
                continue
            taken.add(name[:-4])
            rows.append({
                "path": f"{prefix}{folder}/{name}", "part": "train" if role == "train" else "test",
                "image_id": f"{folder}/{name[:-4]}", "person": int(match[1]),
                "camera": int(match[2]), **{other: other == role for other in FOLDERS},
            })  # fmt: skip
    columns = names.columns_of(rows)
    counted = counts(columns)
    return Listing(names.listed(columns), counted, rejects, [new_protocol(counted, kind)])
