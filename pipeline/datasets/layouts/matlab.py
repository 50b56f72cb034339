"""MATLAB 5 files: variables read with care, and written without the time."""

from __future__ import annotations

import io
import subprocess
import sys
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.datasets.layouts import names
from pipeline.datasets.layouts.matlab_container import why_unsound
from reid.project.errors import ReidError

HDF5 = b"\x89HDF\r\n\x1a\n"
HEADER = b"MATLAB 5.0 MAT-file".ljust(116) + bytes(8) + b"\x00\x01IM"  # as the format asks for

TRIAL = """
import contextlib, io, sys, warnings
from scipy.io import loadmat
warnings.simplefilter("ignore")
with contextlib.suppress(Exception):
    loadmat(io.BytesIO(sys.stdin.buffer.read()))
"""


def variable(path: Path, data: bytes, name: str, owner: str, file: str) -> Any:
    """A variable of the MATLAB 5 file `path`, whose bytes are `data`; nothing in it is run.

    `owner` and `file` say in an error whose it must be and which. Raises `ReidError` where it is
    another format, is damaged, or has no such variable.
    """
    values = variables(path, data, name)
    if name not in values:
        raise ReidError(f"{path}: no variable `{name}`; this is not {owner}'s {file}")
    return values[name]


def variables(path: Path, data: bytes, *wanted: str) -> dict[str, Any]:
    """Those of the names wanted that there are, by name; likewise."""
    return _parsed(path, data, lambda scipy, file: scipy.loadmat(file, variable_names=wanted))


def numbers(path: Path, name: str, value: Any, expected: str = "numbers") -> np.ndarray:
    """A value of a file as an array of numbers. Raises `ReidError` where it is something else."""
    if not isinstance(value, np.ndarray) or value.dtype.kind not in "iufb":
        raise ReidError(f"{path}: `{name}` is {form(value)}; expected {expected}")
    return value


def form(value: Any) -> str:
    """What a variable is, for an error: its dimensions and kind."""
    if not isinstance(value, np.ndarray):
        return f"a {type(value).__name__}"
    kind = "struct" if value.dtype.names else {"O": "cell", "U": "text"}.get(value.dtype.kind)
    return f"{' x '.join(map(str, value.shape)) or 'a single value'} of {kind or value.dtype}"


def saved(variables: Mapping[str, Any], *, packed: bool = False) -> bytes:
    """The bytes of a file with these variables; equal ones give equal bytes."""
    from scipy.io import savemat

    out = io.BytesIO()
    savemat(out, dict(variables), do_compression=packed)
    return HEADER + out.getvalue()[len(HEADER) :]  # the library's own header has the time


def _parsed(path: Path, data: bytes, parse: Callable[[Any, io.BytesIO], Any]) -> Any:
    """What a function of `scipy.io` reads in the bytes of a MATLAB 5 file.

    Raises `ReidError` where it cannot. Some damage would end this process: a file that is not seen
    to be sound is read in a process of its own first.
    """
    try:
        import scipy.io
    except ImportError:
        raise ReidError(f"{path} needs scipy; run `pip install scipy`") from None
    if HDF5 in data[:1024]:  # at 0, or behind a header that MATLAB 7.3 puts before it
        raise ReidError(
            f"{path}: is HDF5 (MATLAB 7.3), the official file is MATLAB 5; save it with `-v7`"
        )
    try:
        unsound = why_unsound(data)
        if unsound and _crashes(data):
            raise ValueError(f"{unsound}; scipy crashes on it")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return parse(scipy.io, io.BytesIO(data))
    except Exception as error:  # a damaged file raises whatever the parser trips over
        reason = names.printable(str(error).strip("'\""))[:120] or type(error).__name__
        raise ReidError(
            f"{path}: cannot be read as MATLAB 5 ({reason}); copy or download it anew"
        ) from None


def _crashes(data: bytes) -> bool:
    """Whether reading ends a process. Raises `OSError` where none can be started."""
    done = subprocess.run([sys.executable, "-c", TRIAL], input=data, capture_output=True)
    return done.returncode < 0
