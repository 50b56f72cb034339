"""cuhk-03.mat, a MATLAB 7.3 file, which is HDF5; it may be damaged, or something else.

`labeled` and `detected` are cells of five camera pairs, each a cell of (persons, 10) images, and
`testsets` is a cell of 20 splits, rows of pair and index.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from pipeline.datasets.layouts import hdf5
from reid.arrays.images import MAX_PIXELS, BadImage
from reid.project.errors import ReidError

RELEASE, MAT = "cuhk03_release", "cuhk-03.mat"
PAIRS, SHOTS, SPLITS = 5, 5, 20  # SHOTS: images of a person in one view, at most
MOST_PERSONS = 999  # of one pair; three digits
EMPTY = "empty"


class Mat:
    """The opened .mat file, one kind of boxes. Raises `ReidError` where it is none."""

    def __init__(self, path: Path, kind: str) -> None:
        self.path = path
        h5py = hdf5.library()
        try:
            self.file = h5py.File(path, "r", locking=False)
        except hdf5.TROUBLE as error:
            raise ReidError(
                f"{path}: cannot be read as HDF5, which MATLAB 7.3 files are "
                f"({hdf5.short(error)}); copy or download it anew"
            ) from None
        try:
            self.pairs = self._pairs(kind)  # per pair (persons, 10) references
        except ReidError:
            self.file.close()
            raise
        self.offsets = np.cumsum([0, *(len(pair) for pair in self.pairs)]).tolist()

    def variable(self, name: str, count: int) -> list[Any]:
        """The references of a cell variable of `count` cells, in order."""
        h5py = hdf5.library()
        wanted = f"expected the variable `{name}`, a cell of {count}"
        try:
            link = self.file.get(name, getlink=True)
            if not isinstance(link, h5py.HardLink):  # a link may lead to any file of this machine
                kind = "no such variable" if link is None else "a link"
                raise ReidError(f"{self.path}: {kind}; {wanted}, in the file itself")
            cells = hdf5.own(self.file[name])
            if cells.size != count or h5py.check_ref_dtype(cells.dtype) is not h5py.Reference:
                raise ReidError(f"{self.path}: `{name}` is {hdf5.form(cells)}; {wanted}")
            return list(np.ravel(cells[()]))
        except hdf5.TROUBLE as error:
            raise ReidError(f"{self.path}: {hdf5.short(error)}; {wanted}") from None

    def _pairs(self, kind: str) -> list[np.ndarray]:
        h5py = hdf5.library()
        pairs = []
        for i, reference in enumerate(self.variable(kind, PAIRS), 1):
            where = f"{self.path}: `{kind}`, camera pair {i}"
            wanted = f"expected a cell of persons x {2 * SHOTS} images"
            try:
                cells = hdf5.own(self.file[reference])
                if _is_empty(cells):
                    pairs.append(np.empty((0, 2 * SHOTS), object))
                    continue
                form = cells.ndim == 2 and cells.shape[0] == 2 * SHOTS  # HDF5 has it transposed
                references = h5py.check_ref_dtype(cells.dtype) is h5py.Reference
                if not form or not references or cells.shape[1] > MOST_PERSONS:
                    raise ReidError(f"{where} is {hdf5.form(cells)}; {wanted}")
                pairs.append(cells[()].T)
            except hdf5.TROUBLE as error:
                raise ReidError(f"{where}: {hdf5.short(error)}; {wanted}") from None
        return pairs

    def cell(self, pair: int, index: int, number: int) -> tuple[Any, str]:
        """The image's HDF5 data set, and "" where it is good, `EMPTY`, or why it is broken."""
        reference = self.pairs[pair - 1][index - 1, number - 1]
        if not reference:
            return None, EMPTY
        try:
            data = hdf5.own(self.file[reference])
            return data, _why_no_image(data)
        except hdf5.TROUBLE as error:
            return None, f"cannot be read: {hdf5.short(error)}"

    def image(self, pair: int, index: int, number: int) -> np.ndarray:
        """(H, W, 3) uint8 RGB. Raises `BadImage`."""
        if not (pair <= PAIRS and 1 <= index <= len(self.pairs[pair - 1])):
            raise BadImage(f"{MAT} has no such person")
        data, reason = self.cell(pair, index, number)
        if reason:
            raise BadImage(reason)
        try:
            return np.ascontiguousarray(data[()].T)  # (3, W, H) -> (H, W, 3)
        except hdf5.TROUBLE as error:
            raise BadImage(f"cannot be read: {hdf5.short(error)}") from None

    def split(self, reference: Any) -> list[int]:
        """Sorted test persons of one split. Raises `ValueError` with the reason."""
        try:
            cells = hdf5.own(self.file[reference])
            if cells.ndim != 2 or cells.shape[0] != 2 or not 0 < cells.shape[1] <= 9_999:
                raise ValueError(f"{hdf5.form(cells)}; expected rows of pair and index")
            rows = np.asarray(cells[()], np.float64).T  # (persons, 2)
        except hdf5.TROUBLE as error:
            raise ValueError(hdf5.short(error)) from None
        if not np.isfinite(rows).all() or (rows != np.rint(rows)).any():
            raise ValueError("pair and index must be whole numbers")
        persons = set()
        for pair, index in rows.tolist():
            if not (1 <= pair <= PAIRS and 1 <= index <= len(self.pairs[int(pair) - 1])):
                raise ValueError(f"there is no person {index:g} in camera pair {pair:g}")
            persons.add(self.offsets[int(pair) - 1] + int(index))
        return sorted(persons)


def _is_empty(data: Any) -> bool:
    """MATLAB writes an empty array as its size, [0 0]."""
    return data.size == 0 or "MATLAB_empty" in data.attrs


def _why_no_image(data: Any) -> str:
    if _is_empty(data) or (data.ndim == 1 and data.dtype == np.uint64 and data.size <= 3):
        return EMPTY
    if data.dtype != np.uint8 or data.ndim != 3 or data.shape[0] != 3:
        return f"{hdf5.form(data)}; expected 3 x width x height of uint8"
    if data.shape[1] * data.shape[2] > MAX_PIXELS:
        return f"{data.shape[1]} x {data.shape[2]} pixels; at most {MAX_PIXELS:,} are read"
    return ""


def image_name(pair: int, index: int, number: int) -> str:
    """An image's name, such as 2_017_1_03; all are counted from 1."""
    return f"{pair}_{index:03d}_{1 if number <= SHOTS else 2}_{number:02d}"
