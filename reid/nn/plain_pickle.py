"""torch.load without its crashes: the pickle in a file is looked through before it is read.

With `weights_only` torch builds no foreign object, but whatever plain ones a file says: a key of
tuples in tuples ends Python in the C stack, and a packed file may be a thousand times larger.

Source  Python's `pickletools`, which says of each operation what it takes from the stack
"""

from __future__ import annotations

import pickle
import pickletools
import zipfile
from pathlib import Path
from typing import IO, Any

DEEPEST = 100  # values in values; checkpoints of many libraries have about ten
LEGACY_PICKLES = 5  # of torch.save before 1.6: magic number, version, system, values, storages
ARCHIVE = b"PK\3\4"  # what torch takes for a zip file
MARK = -1
GROWS = {"APPEND", "APPENDS", "SETITEM", "SETITEMS", "ADDITEMS", "BUILD"}  # what lies below
PUTS, GETS = {"PUT", "BINPUT", "LONG_BINPUT"}, {"GET", "BINGET", "LONG_BINGET"}


def load_plain(path: Path) -> Any:
    """What torch.save wrote, on the CPU, of tensors and plain values.

    Raises `pickle.UnpicklingError` where it holds other objects or is no pickle, `ValueError` where
    it is nested deeper than `DEEPEST` or packed, and whatever torch does for a broken file.
    """
    import torch

    with path.open("rb") as file:
        if file.peek(len(ARCHIVE)).startswith(ARCHIVE):
            _check_archive(file, path.stat().st_size)
        else:
            for _ in range(LEGACY_PICKLES):
                _check_depth(file)
    return torch.load(path, map_location="cpu", weights_only=True)


def _check_archive(file: IO[bytes], size: int) -> None:
    with zipfile.ZipFile(file) as archive:
        if sum(info.file_size for info in archive.infolist()) > size:
            raise ValueError("its records are packed, as torch.save never does")
        for info in archive.infolist():
            if info.filename.endswith(".pkl"):
                with archive.open(info) as record:
                    _check_depth(record)


def _check_depth(file: IO[bytes]) -> None:
    """Follow one pickle with the depth of each value in place of the value."""
    stack: list[int] = []
    memory: dict[int, int] = {}
    try:
        for operation, value, _ in pickletools.genops(file):
            _follow(operation, value, stack, memory)
            if stack and stack[-1] > DEEPEST:
                raise _TooDeep(f"values nested deeper than {DEEPEST}")
    except (ValueError, LookupError, TypeError) as error:
        if isinstance(error, _TooDeep):
            raise
        raise pickle.UnpicklingError(str(error)) from None


class _TooDeep(ValueError):
    pass


def _follow(operation: Any, value: Any, stack: list[int], memory: dict[int, int]) -> None:
    name = operation.name
    if name in GETS:
        stack.append(memory[value])
    elif name in PUTS or name == "MEMOIZE":
        memory[len(memory) if value is None else value] = stack[-1]
    elif name == "MARK":
        stack.append(MARK)
    elif name == "DUP":
        stack.append(stack[-1])
    else:
        taken = [depth for kind in reversed(operation.stack_before) for depth in _pop(kind, stack)]
        own = taken.pop() if name in GROWS else 0
        made = max(own, 1 + max(taken)) if taken else own
        stack.extend(made for _ in operation.stack_after)


def _pop(kind: Any, stack: list[int]) -> list[int]:
    """The depths of what one entry of an operation's list takes: a value, or all above a mark."""
    if kind is pickletools.markobject:
        return []  # goes with the slice above it
    if kind is not pickletools.stackslice:
        return [stack.pop()]
    found = []
    while (depth := stack.pop()) != MARK:
        found.append(depth)
    return found
