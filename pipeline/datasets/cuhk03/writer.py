"""Writes samples as cuhk-03.mat and the new protocol's file, as `cuhk03` reads them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.datasets.base import Sample
from pipeline.datasets.cuhk03.container import (
    MAT,
    MOST_PERSONS,
    PAIRS,
    RELEASE,
    SHOTS,
    SPLITS,
    image_name,
)
from pipeline.datasets.cuhk03.new_protocol import ROLES, config_name
from pipeline.datasets.layouts import hdf5, matlab, names
from reid.arrays.images import decode
from reid.project.errors import ReidError

HEADER = b"MATLAB 7.3 MAT-file".ljust(116) + bytes(8) + b"\x00\x02IM"  # before the HDF5


@dataclass
class _Written:
    """What has been written: the references of each person's images, by pair and index."""

    pairs: list[list[list[Any]]] = field(default_factory=lambda: [[] for _ in range(PAIRS)])
    positions: dict[int, tuple[int, int]] = field(default_factory=dict)  # person: pair, index
    roles: dict[str, str] = field(default_factory=dict)  # by image name

    def take(self, sample: Sample) -> tuple[int, int, int]:
        """(pair, index, number) of a new image. Raises `ReidError` where it does not fit."""
        who = f"person {sample.person}"
        if sample.role not in ROLES or sample.person < 1:
            raise ReidError(f"{who}, role {sample.role}: CUHK03 has persons from 1, in train, "
                            "query or gallery")  # fmt: skip
        if not 1 <= sample.camera <= 2 * PAIRS:
            raise ReidError(f"{who}: camera {sample.camera}; CUHK03 has cameras 1 to {2 * PAIRS}")
        pair, view = (sample.camera + 1) // 2, 2 - sample.camera % 2
        persons = self.pairs[pair - 1]
        if sample.person not in self.positions:
            if len(persons) == MOST_PERSONS:
                raise ReidError(f"more than {MOST_PERSONS} persons in camera pair {pair}")
            persons.append([None] * (2 * SHOTS))
            self.positions[sample.person] = pair, len(persons)
        at, index = self.positions[sample.person]
        if at != pair:
            raise ReidError(f"{who} is in camera pairs {at} and {pair}; CUHK03 has one pair each")
        row, start = persons[index - 1], (view - 1) * SHOTS
        free = [n for n in range(start, start + SHOTS) if row[n] is None]
        if not free:
            raise ReidError(f"{who}: more than {SHOTS} images in camera {sample.camera}")
        return pair, index, free[0] + 1


def write(root: Path, samples: Iterable[Sample], kind: str) -> Iterator[str]:
    """Write samples as cuhk-03.mat and the new protocol's file; yields the image_ids, in order.

    A person is numbered by position: pairs in order, in each as they first appear. Test persons of
    split 1 are those with a query or gallery image; splits 2 to 20 are drawn with their number as
    the seed. The file holds boxes of this kind alone. Raises `ReidError` where a label does not fit
    the layout, and where the folder is not empty or cannot be written.
    """
    names.new_folder(root / RELEASE)
    path, h5py, written = root / RELEASE / MAT, hdf5.library(), _Written()
    try:
        file = h5py.File(path, "w", userblock_size=512)
    except OSError as error:
        raise ReidError(f"{path}: cannot be written: {error.strerror}") from None
    with file:
        cells = file.create_group("#refs#")
        for sample in samples:
            pair, index, number = written.take(sample)
            image = sample.image if sample.encoded is None else decode(sample.encoded)
            if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
                raise ReidError(f"person {sample.person}: an image must be (H, W, 3) uint8")
            name = image_name(pair, index, number)
            reference = _put(cells, name, image.T, "uint8").ref
            written.pairs[pair - 1][index - 1][number - 1] = reference
            written.roles[name] = sample.role
            yield f"{kind}/{name}"
        _finish(file, cells, written, kind)
    with path.open("r+b") as header:
        header.write(HEADER)
    names.write_file(root / config_name(kind), _config(written.roles))


def _put(group: Any, name: str, data: np.ndarray, matlab_class: str) -> Any:
    array = group.create_dataset(name, data=data)
    array.attrs["MATLAB_class"] = np.bytes_(matlab_class)
    return array


def _put_cell(group: Any, name: str, references: np.ndarray) -> Any:
    array = group.create_dataset(name, data=references, dtype=hdf5.library().ref_dtype)
    array.attrs["MATLAB_class"] = np.bytes_("cell")
    return array


def _put_empty(group: Any, name: str, matlab_class: str) -> Any:
    array = _put(group, name, np.zeros(2, np.uint64), matlab_class)
    array.attrs["MATLAB_empty"] = np.uint8(1)
    return array


def _finish(file: Any, cells: Any, written: _Written, kind: str) -> None:
    """The variables, once all images are there."""
    empty = _put_empty(cells, "empty", "double").ref
    outer = np.empty((1, PAIRS), object)
    for i, persons in enumerate(written.pairs):
        if not persons:
            outer[0, i] = _put_empty(cells, f"pair{i + 1}", "cell").ref
            continue
        inner = np.empty((2 * SHOTS, len(persons)), object)
        for j, row in enumerate(persons):
            inner[:, j] = [empty if reference is None else reference for reference in row]
        outer[0, i] = _put_cell(cells, f"pair{i + 1}", inner).ref
    _put_cell(file, kind, outer)
    everyone = sorted(written.positions.values())
    test = sorted(
        {(int(n[0]), int(n[2:5])) for n, role in written.roles.items() if role != "train"}
    )
    if not test:
        raise ReidError(f"{file.filename}: no query or gallery image; CUHK03 needs test persons")
    splits = np.empty((1, SPLITS), object)
    for k in range(SPLITS):
        drawn = np.random.default_rng(k + 1).permutation(len(everyone))[: len(test)]
        rows = test if k == 0 else [everyone[i] for i in np.sort(drawn)]
        splits[0, k] = _put(cells, f"testset{k + 1}", np.array(rows, float).T, "double").ref
    _put_cell(file, "testsets", splits)


def _config(roles: dict[str, str]) -> bytes:
    """The new protocol's file from the role of each image."""
    image_names = sorted(roles)
    files = np.empty((len(roles), 1), object)
    files[:, 0] = [f"{name}.png" for name in image_names]
    persons = sorted({name[:5] for name in image_names})
    column = {
        "labels": [persons.index(name[:5]) + 1 for name in image_names],
        "camId": [int(name[6]) for name in image_names],
        **{f"{r}_idx": [i for i, n in enumerate(image_names, 1) if roles[n] == r] for r in ROLES},
    }
    values = {name: np.array(rows, float).reshape(-1, 1) for name, rows in column.items()}
    return matlab.saved({"filelist": files, **values})
