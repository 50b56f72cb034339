"""cuhk-03.mat, a MATLAB 7.3 file, which is HDF5; it may be damaged, or something else.

`labeled` and `detected` are cells of five camera pairs, each a cell of (persons, 10) images, and
`testsets` is a cell of 20 splits, rows of pair and index.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from pipeline.datasets.layouts import names
from reid.arrays.images import MAX_PIXELS, BadImage
from reid.project.errors import ReidError

RELEASE, MAT = "cuhk03_release", "cuhk-03.mat"
PAIRS, SHOTS, SPLITS = 5, 5, 20  # SHOTS: images of a person in one view, at most
MOST_PERSONS = 999  # of one pair; three digits
EMPTY = "empty"
TROUBLE = (  # what h5py raises on a damaged file
    OSError, KeyError, ValueError, RuntimeError, TypeError, AttributeError, OverflowError,
    MemoryError, SystemError, NotImplementedError,
)  # fmt: skip


class Mat:
    """The opened .mat file, one kind of boxes. Raises `ReidError` where it is none."""

    def __init__(self, path: Path, kind: str) -> None:
        self.path = path
        h5py = hdf5()
        try:
            self.file = h5py.File(path, "r", locking=False)
        except TROUBLE as error:
            raise ReidError(
                f"{path}: cannot be read as HDF5, which MATLAB 7.3 files are ({short(error)}); "
                "copy or download it anew"
            ) from None
        try:
            self.pairs = self._pairs(kind)  # per pair (persons, 10) references
        except ReidError:
            self.file.close()
            raise
        self.offsets = np.cumsum([0, *(len(pair) for pair in self.pairs)]).tolist()

    def variable(self, name: str, count: int) -> list[Any]:
        """The references of a cell variable of `count` cells, in order."""
        h5py = hdf5()
        wanted = f"expected the variable `{name}`, a cell of {count}"
        try:
            link = self.file.get(name, getlink=True)
            if not isinstance(link, h5py.HardLink):  # a link may lead to any file of this machine
                found = "no such variable" if link is None else "a link"
                raise ReidError(f"{self.path}: {found}; {wanted}, in the file itself")
            cells = inside(self.file[name])
            if cells.size != count or h5py.check_ref_dtype(cells.dtype) is not h5py.Reference:
                raise ReidError(f"{self.path}: `{name}` is {_form(cells)}; {wanted}")
            return list(np.ravel(cells[()]))
        except TROUBLE as error:
            raise ReidError(f"{self.path}: {short(error)}; {wanted}") from None

    def _pairs(self, kind: str) -> list[np.ndarray]:
        h5py = hdf5()
        pairs = []
        for i, reference in enumerate(self.variable(kind, PAIRS), 1):
            place = f"{self.path}: `{kind}`, camera pair {i}"
            wanted = f"expected a cell of persons x {2 * SHOTS} images"
            try:
                cells = inside(self.file[reference])
                if _is_empty(cells):
                    pairs.append(np.empty((0, 2 * SHOTS), object))
                    continue
                form = cells.ndim == 2 and cells.shape[0] == 2 * SHOTS  # HDF5 has it transposed
                references = h5py.check_ref_dtype(cells.dtype) is h5py.Reference
                if not form or not references or cells.shape[1] > MOST_PERSONS:
                    raise ReidError(f"{place} is {_form(cells)}; {wanted}")
                pairs.append(cells[()].T)
            except TROUBLE as error:
                raise ReidError(f"{place}: {short(error)}; {wanted}") from None
        return pairs

    def cell(self, pair: int, index: int, number: int) -> tuple[Any, str]:
        """The image's HDF5 data set, and "" where it is good, `EMPTY`, or why it is broken."""
        reference = self.pairs[pair - 1][index - 1, number - 1]
        if not reference:
            return None, EMPTY
        try:
            found = inside(self.file[reference])
            return found, _why_no_image(found)
        except TROUBLE as error:
            return None, f"cannot be read: {short(error)}"

    def image(self, pair: int, index: int, number: int) -> np.ndarray:
        """(H, W, 3) uint8 RGB. Raises `BadImage`."""
        if not (pair <= PAIRS and 1 <= index <= len(self.pairs[pair - 1])):
            raise BadImage(f"{MAT} has no such person")
        found, reason = self.cell(pair, index, number)
        if reason:
            raise BadImage(reason)
        try:
            return np.ascontiguousarray(found[()].T)  # (3, W, H) -> (H, W, 3)
        except TROUBLE as error:
            raise BadImage(f"cannot be read: {short(error)}") from None

    def split(self, reference: Any) -> list[int]:
        """Sorted test persons of one split. Raises `ValueError` with the reason."""
        try:
            found = inside(self.file[reference])
            if found.ndim != 2 or found.shape[0] != 2 or not 0 < found.shape[1] <= 9_999:
                raise ValueError(f"{_form(found)}; expected rows of pair and index")
            rows = np.asarray(found[()], np.float64).T  # (persons, 2)
        except TROUBLE as error:
            raise ValueError(short(error)) from None
        if not np.isfinite(rows).all() or (rows != np.rint(rows)).any():
            raise ValueError("pair and index must be whole numbers")
        persons = set()
        for pair, index in rows.tolist():
            if not (1 <= pair <= PAIRS and 1 <= index <= len(self.pairs[int(pair) - 1])):
                raise ValueError(f"there is no person {index:g} in camera pair {pair:g}")
            persons.add(self.offsets[int(pair) - 1] + int(index))
        return sorted(persons)


def hdf5() -> Any:
    """The library h5py, or a `ReidError` that says how to install it."""
    try:
        import h5py
    except ImportError:
        raise ReidError(f"{MAT} needs h5py; run `pip install h5py`") from None
    return h5py


def inside(found: Any) -> Any:
    """`found` itself; `ValueError` where it is no array, or one whose data lie elsewhere."""
    if not isinstance(found, hdf5().Dataset):
        raise ValueError("a group in place of an array")
    if found.external or found.is_virtual:
        raise ValueError("its data are outside the file, and are not followed there")
    return found


def _is_empty(found: Any) -> bool:
    """MATLAB writes an empty array as its size, [0 0]."""
    return found.size == 0 or "MATLAB_empty" in found.attrs


def _why_no_image(found: Any) -> str:
    if _is_empty(found) or (found.ndim == 1 and found.dtype == np.uint64 and found.size <= 3):
        return EMPTY
    if found.dtype != np.uint8 or found.ndim != 3 or found.shape[0] != 3:
        return f"{_form(found)}; expected 3 x width x height of uint8"
    if found.shape[1] * found.shape[2] > MAX_PIXELS:
        return f"{found.shape[1]} x {found.shape[2]} pixels; at most {MAX_PIXELS:,} are read"
    return ""


def _form(found: Any) -> str:
    return f"{' x '.join(map(str, found.shape)) or 'a single value'} of {found.dtype}"


def short(error: BaseException) -> str:
    """An error of a library as a part of one line."""
    return names.printable(str(error).strip("'\""))[:160] or type(error).__name__


def image_name(pair: int, index: int, number: int) -> str:
    """An image's name, such as 2_017_1_03; all are counted from 1."""
    return f"{pair}_{index:03d}_{1 if number <= SHOTS else 2}_{number:02d}"
