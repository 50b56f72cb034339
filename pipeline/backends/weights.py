"""What identifies the weights and the given labels of a build: they are in its key."""

from __future__ import annotations

import fcntl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pipeline.backends.checkpoints import (
    download,
    downloads_folder,
    file_hash,
    file_name,
)
from pipeline.backends.choices import (
    NETWORKS,
    PINS,
    Choice,
    Pin,
    check,
    choose,
    file_of,
    pins,
)
from reid.project.layout import as_json, write_atomically


def identity(stage: str, params: Any, root: Path) -> str:
    """Which weights decide a network's output; '' where a backend runs no network.

    That is a hash of the weights, or `random`. A download that is neither pinned nor there is
    fetched.
    """
    if f"{stage}_{params.backend}" not in NETWORKS:
        return ""
    choice = choose(stage, params.backend, params)
    if choice.kind == "pretrained":
        return _pinned(choice, root).sha256
    path = file_of(choice, address_of, root)
    return file_hash(path) if path else "random"


def address_of(choice: Choice) -> str:
    """Where the library offers its weights; loads the library."""
    return ADDRESSES[choice.network.library](choice)


def _torchvision(choice: Choice) -> str:
    from pipeline.backends.libraries import torchvision_rcnn

    return torchvision_rcnn.address(choice)


def _detectron2(choice: Choice) -> str:
    from pipeline.backends.masks import detectron2

    return detectron2.address(choice)


def _ultralytics(choice: Choice) -> str:
    from pipeline.backends.libraries import ultralytics

    return ultralytics.address(choice)


def _mmpose(choice: Choice) -> str:
    from pipeline.backends.joints import mmpose

    return mmpose.address(choice)


def _ptlflow(choice: Choice) -> str:
    from pipeline.backends.flow import ptlflow

    return ptlflow.address(choice)


ADDRESSES: dict[str, Callable[[Choice], str]] = {  # by library
    "torchvision": _torchvision,
    "detectron2": _detectron2,
    "ultralytics": _ultralytics,
    "mmpose": _mmpose,
    "ptlflow": _ptlflow,
}


# --- pins ----------------------------------------------------------------------------------------


def _pinned(choice: Choice, root: Path) -> Pin:
    """The pin of a download, which is checked if it is there, and pinned if it was not yet."""
    pin = pins(root).get(choice.key)
    if pin is None:
        return _pin(choice, root)
    path = downloads_folder() / pin.file
    if path.is_file():
        check(choice, path, pin)
    return pin


def _pin(choice: Choice, root: Path) -> Pin:
    """Fetch a download unless it is there, and write down what it is."""
    address = address_of(choice)
    path = download(address)
    new = Pin(address, file_name(address), path.stat().st_size, file_hash(path))
    with _locked(root):
        known = pins(root)
        pin = known.setdefault(choice.key, new)
        if pin is new:
            write_atomically(root / PINS, as_json({k: p._asdict() for k, p in known.items()}))
    if pin is not new:  # another process was first
        check(choice, path, pin)
    return pin


@contextmanager
def _locked(root: Path) -> Iterator[None]:
    """One at a time reads and writes the pins."""
    path = root / ".work" / "locks" / "weights"
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
