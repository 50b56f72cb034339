"""DPI-T's depth maps: an HDF5 file with a group for each person and an array for each video."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Self

import numpy as np

from pipeline.datasets.layouts import hdf5, names
from pipeline.datasets.layouts.hdf5 import TROUBLE, short
from reid.arrays.images import MAX_PIXELS, BadImage
from reid.project.errors import ReidError

METRES_BELOW, MILLIMETRES_FROM = 20.0, 1000.0  # medians of a first map


class DepthFile:
    """An opened file of depth maps. Raises `ReidError` where it cannot be read."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._scale: float | None = None
        try:
            names.check_regular(path)
            self.file = hdf5.library().File(path, "r", locking=False)
        except FileNotFoundError:
            raise ReidError(f"{path}: no such file; unpack the depth maps of DPI-T there") from None
        except TROUBLE as error:
            raise ReidError(f"{path}: cannot be read as HDF5 ({short(error)}); copy or download "
                            "it anew") from None  # fmt: skip

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.file.close()

    def why_not(self, person: str, video: str, frames: int) -> str:
        """Why the video's frames have no depth; "" where each has."""
        try:
            maps = self._array(person, video)
        except ValueError as error:
            return str(error)
        if len(maps) != frames:
            return f"{frames} frames, but {len(maps)} depth maps in {self.path.name}"
        return ""

    def millimetres(self, person: str, video: str, position: int) -> np.ndarray:
        """(H, W) uint16 of one frame, 0 = no reading. Raises `BadImage`."""
        try:
            maps = self._array(person, video)
            return to_millimetres(maps[position], self._scale_of(maps))
        except ValueError as error:
            raise BadImage(str(error)) from None
        except TROUBLE as error:
            raise BadImage(f"depth cannot be read: {short(error)}") from None

    def _array(self, person: str, video: str) -> Any:
        """The maps of a video. Raises `ValueError` with the reason."""
        name, h5py = self.path.name, hdf5.library()
        try:
            group = hdf5.member(self.file, person)
            if not isinstance(group, h5py.Group):
                raise ValueError(f"{name} has no group {person}")
            maps = hdf5.member(group, video)
            if not isinstance(maps, h5py.Dataset):
                raise ValueError(f"{name} has no array {person}/{video}")
            return _checked(maps, f"{name}: {person}/{video}")
        except ValueError:
            raise
        except TROUBLE as error:
            raise ValueError(f"{name}: {person}/{video}: {short(error)}") from None

    def _scale_of(self, maps: Any) -> float:
        """Millimetres in one unit of the array. Raises `ValueError` where it cannot be known."""
        if maps.dtype.kind in "iu":
            return 1.0
        if self._scale is None:
            self._scale = scale_of(self._first_median())
        return self._scale

    def _videos(self, person: str) -> list[str]:
        try:
            group = hdf5.member(self.file, person)
            return sorted(group) if isinstance(group, hdf5.library().Group) else []
        except TROUBLE:
            return []

    def _first_median(self) -> float:
        """Of the readings of the first array of floating point whose first map has any."""
        for person in sorted(self.file):
            for video in self._videos(person):
                try:
                    maps = self._array(person, video)
                    values = np.asarray(maps[:1], np.float64) if maps.dtype.kind == "f" else []
                except TROUBLE:
                    continue
                good = [v[np.isfinite(v) & (v > 0)] for v in values]
                if sum(map(len, good)):
                    return float(np.median(np.concatenate(good)))
        raise ValueError("no video has a depth reading")


def _checked(maps: Any, where: str) -> Any:
    """`maps` itself; `ValueError` where they are no depth maps, or lie outside the file."""
    try:
        hdf5.own(maps)
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from None
    if maps.ndim != 3 or maps.dtype.kind not in "iuf" or 0 in maps.shape[1:]:
        raise ValueError(f"{where} is {hdf5.form(maps)}; expected frames x height x width")
    if maps.dtype.itemsize == 1:
        raise ValueError(f"{where} is {maps.dtype}: 8-bit pictures, which are no depth")
    if maps.shape[1] * maps.shape[2] > MAX_PIXELS:
        raise ValueError(f"{where} is {hdf5.form(maps)}; at most {MAX_PIXELS:,} pixels are read")
    return maps


def scale_of(median: float) -> float:
    """Millimetres in one unit, from the median reading of a ceiling camera's floating maps."""
    if median < METRES_BELOW:
        return 1000.0
    if median >= MILLIMETRES_FROM:
        return 1.0
    raise ValueError(f"the unit of depth is not clear: its median is {median:g}, neither metres "
                     "nor millimetres from a ceiling")  # fmt: skip


def to_millimetres(depth: np.ndarray, scale: float) -> np.ndarray:
    """(H, W) in any unit to uint16 millimetres; what is no reading or does not fit is 0."""
    scaled = np.asarray(depth, np.float64) * scale
    good = np.isfinite(scaled) & (scaled >= 0.5) & (scaled <= 65_535)
    return np.rint(np.where(good, scaled, 0)).astype(np.uint16)


class DepthWriter:
    """Writes maps in metres, no reading as not a number; a video at a time is held."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self.file = hdf5.library().File(path, "w")
        except OSError as error:
            raise ReidError(f"{path}: cannot be written: {short(error)}") from None
        self.video: tuple[str, str] | None = None
        self.maps: list[np.ndarray] = []
        self.last = -1

    def add(self, person: str, video: str, frame: int, depth_mm: np.ndarray) -> None:
        """The next map: of the same video with a later frame, or the first of another video."""
        if (person, video) != self.video:
            self._finish()
            self.video, self.last = (person, video), -1
        if frame <= self.last:
            raise ReidError(f"{self.path}: video {person}/{video}: frame {frame} after {self.last}")
        if self.maps and self.maps[0].shape != depth_mm.shape:
            raise ReidError(f"{self.path}: video {person}/{video} has maps of several sizes")
        self.maps.append(depth_mm)
        self.last = frame

    def close(self) -> None:
        """Write the last video and close the file."""
        self._finish()
        self.file.close()

    def _finish(self) -> None:
        if self.video is None or not self.maps:
            return
        person, video = self.video
        if f"{person}/{video}" in self.file:
            raise ReidError(f"{self.path}: the samples of video {person}/{video} do not follow "
                            "each other")  # fmt: skip
        metres = np.stack(self.maps).astype(np.float32) / 1000
        metres[metres == 0] = np.nan
        self.file.create_dataset(f"{person}/{video}", data=metres, compression="gzip")
        self.maps = []
