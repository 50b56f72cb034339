"""Writes samples as DukeMTMC-VideoReID; what is read back is said in the reader."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from pipeline.datasets.base import Sample
from pipeline.datasets.layouts import names
from pipeline.datasets.layouts.tracklets import ROLES
from reid.arrays.images import encode_jpeg
from reid.project.errors import ReidError

TITLE = "DukeMTMC-VideoReID"
LIMITS = {"person": (1, 9999), "camera": (1, 8), "tracklet": (0, 9999), "frame": (1, 9999)}
SAMPLED = 12  # frames of the video from one to the next of a tracklet


def write(root: Path, samples: Iterable[Sample]) -> Iterator[str]:
    """Write samples in the official layout; yields the image_id of each, in order.

    A sample's tracklet names its folder, its frame is the F of its name, from 1. Folders must be
    new or empty. Raises `ReidError` where a label does not fit, where a frame is written twice, and
    where a tracklet of the query is one of the gallery too.
    """
    for role in ROLES:
        names.new_folder(root / role)
    roles: dict[tuple[int, int, int], str] = {}  # by person, camera and tracklet
    for sample in samples:
        names.check_labels(sample, TITLE, LIMITS)
        names.check_role(sample.role, ROLES)
        key = (sample.person, sample.camera, sample.tracklet)
        if roles.setdefault(key, sample.role) != sample.role:
            raise ReidError(f"tracklet {sample.tracklet} of person {sample.person} and camera "
                            f"{sample.camera} is in {roles[key]} and {sample.role}")  # fmt: skip
        folder = root / sample.role / f"{sample.person:04d}" / f"{sample.tracklet:04d}"
        if not folder.is_dir():
            names.new_folder(folder)
        name = (f"{sample.person:04d}_C{sample.camera}_F{sample.frame:04d}"
                f"_X{SAMPLED * sample.frame}")  # fmt: skip
        if (folder / f"{name}.jpg").exists():
            raise ReidError(f"{folder}: two frames {sample.frame}")
        data = encode_jpeg(sample.image) if sample.encoded is None else sample.encoded
        names.write_file(folder / f"{name}.jpg", data)
        yield f"{folder.relative_to(root).as_posix()}/{name}"
