"""Helpers for data sets that lie in an HDF5 file. The file is not to be trusted."""

from __future__ import annotations

from typing import Any

from pipeline.datasets.layouts import names
from reid.project.errors import ReidError

TROUBLE = (  # what h5py raises on a damaged file
    OSError, KeyError, ValueError, RuntimeError, TypeError, AttributeError, OverflowError,
    MemoryError, SystemError, NotImplementedError,
)  # fmt: skip


def library() -> Any:
    """h5py, imported late; `ReidError` where it is not installed."""
    try:
        import h5py
    except ImportError:
        raise ReidError("this data set's HDF5 files need h5py; run `pip install h5py`") from None
    return h5py


def short(error: BaseException) -> str:
    """One line of an error of h5py's."""
    return names.printable(str(error).strip("'\""))[:160] or type(error).__name__


def member(group: Any, name: str) -> Any:
    """What `group` itself holds under a name, or None; `ValueError` for a link, which may lead
    anywhere."""
    link = group.get(name, getlink=True)
    if link is None:
        return None
    if not isinstance(link, library().HardLink):
        raise ValueError(f"{name} is a link, and is not followed")
    return group[name]
