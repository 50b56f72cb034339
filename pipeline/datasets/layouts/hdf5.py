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


def form(array: Any) -> str:
    """What an array is, for an error: its dimensions and type."""
    return f"{' x '.join(map(str, array.shape)) or 'a single value'} of {array.dtype}"


def own(array: Any) -> Any:
    """`array` itself; `ValueError` where it is a group, or its data lie elsewhere."""
    if not isinstance(array, library().Dataset):
        raise ValueError("a group in place of an array")
    if array.external or array.is_virtual:
        raise ValueError("its data are outside the file, and are not followed there")
    return array


def member(group: Any, name: str) -> Any:
    """What `group` itself holds under a name, or None; `ValueError` for a link, which may lead
    anywhere."""
    link = group.get(name, getlink=True)
    if link is None:
        return None
    if not isinstance(link, library().HardLink):
        raise ValueError(f"{name} is a link, and is not followed")
    return group[name]
