"""MATLAB 5 files: one variable read with care, and a header without the time to write."""

from __future__ import annotations

import io
import warnings
from pathlib import Path
from typing import Any

from pipeline.core.errors import ReidError
from pipeline.datasets import names

HDF5 = b"\x89HDF\r\n\x1a\n"
HEADER = b"MATLAB 5.0 MAT-file".ljust(116) + bytes(8) + b"\x00\x01IM"  # as the format asks for


def variable(path: Path, data: bytes, name: str, owner: str, file: str) -> Any:
    """A variable of the MATLAB 5 file `path`, whose bytes are `data`; nothing in it is run.

    `owner` and `file` say in an error whose it must be and which. Raises `ReidError` where it is
    another format, is damaged, or has no such variable.
    """
    try:
        from scipy.io import loadmat
    except ImportError:
        raise ReidError(f"{path} needs scipy; run `pip install scipy`") from None
    if HDF5 in data[:1024]:  # at 0, or behind a header that MATLAB 7.3 puts before it
        raise ReidError(f"{path}: is HDF5 (MATLAB 7.3), {owner}'s is MATLAB 5; save it with `-v7`")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = loadmat(io.BytesIO(data), variable_names=[name])
    except Exception as error:  # a damaged file raises whatever the parser trips over
        reason = names.printable(str(error).strip("'\""))[:120] or type(error).__name__
        raise ReidError(
            f"{path}: cannot be read as MATLAB 5 ({reason}); copy or download it anew"
        ) from None
    if name not in found:
        raise ReidError(f"{path}: no variable `{name}`; this is not {owner}'s {file}")
    return found[name]
