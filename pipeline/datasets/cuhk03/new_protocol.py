"""The new protocol of CUHK03, 767 persons to train and 700 to test: a MATLAB 5 file of its members.

It lists the images' file names, and by their 1-based positions those to train, query and gallery.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.datasets.layouts import matlab, names
from reid.project.errors import ReidError

ROLES = ("train", "query", "gallery")
NAME = re.compile(r"([1-5])_([0-9]{3})_([12])_(0[1-9]|10)")  # in the .mat


def config_name(kind: str) -> str:
    """File name of the new protocol's members."""
    return f"cuhk03_new_protocol_config_{kind}.mat"


def find_config(root: Path, below: str, kind: str) -> Path | None:
    """Where it lies: beside the .mat `below` the root, or in the root."""
    paths = (root / below).parent / config_name(kind), root / config_name(kind)
    return next((path for path in paths if names.is_file(path)), None)


def read_config(path: Path) -> dict[str, set[str]]:
    """Roles by image name. Raises `ReidError`."""
    values = _load(path)
    files = [str(np.ravel(f)[0]) if np.size(f) else "" for f in np.ravel(values["filelist"])]
    image_names = [f.removesuffix(".png") for f in files]
    for name in image_names:
        if NAME.fullmatch(name) is None:
            raise ReidError(f"{path}: filelist has {ascii(name)[:60]}; expected 1_001_1_01.png")
    if len(set(image_names)) != len(image_names):
        raise ReidError(f"{path}: filelist names an image twice")
    roles: dict[str, set[str]] = {name: set() for name in image_names}
    for role in ROLES:
        for i in _indices(path, f"{role}_idx", values, len(files)):
            roles[image_names[i - 1]].add(role)
    train = {name[:5] for name, has in roles.items() if "train" in has}
    both = sorted(
        n[:5] for n, has in roles.items() if has & {"query", "gallery"} and n[:5] in train
    )
    if both:
        raise ReidError(f"{path}: person {both[0]} is in train and in test")
    return roles


def _load(path: Path) -> dict[str, Any]:
    wanted = ("filelist", *(f"{role}_idx" for role in ROLES))
    values = matlab.variables(path, names.read_labels(path), *wanted)
    missing = [name for name in wanted if name not in values]
    if missing:
        raise ReidError(f"{path}: no variable {', '.join(missing)} (expected {', '.join(wanted)})")
    return values


def _indices(path: Path, name: str, values: dict[str, Any], files: int) -> list[int]:
    """1-based positions in the list of files."""
    positions = np.ravel(values[name])
    whole = positions.dtype.kind in "iuf" and bool((positions == np.rint(positions)).all())
    if not whole or (len(positions) and not (positions.min() >= 1 and positions.max() <= files)):
        raise ReidError(f"{path}: {name} must hold positions 1 to {files}")
    return positions.astype(int).tolist()
