"""NumPy's arrays out of a pickle, as model zoos have them, without Python's unpickler.

Python's own builds whatever a file says: objects that run code, arrays whose bytes are taken for
addresses, lists of 80 GB. Here the file's operations are followed one by one, and only containers,
texts, numbers and arrays of plain numbers are made, none larger than what the file itself holds.

Source  the operations are those of Python's `pickletools`; NumPy's calls are those that
        `pickle.dumps` of an array writes with protocols 0 to 5
"""

from __future__ import annotations

import math
import mmap
import pickletools
import re
import struct
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from pickle import UnpicklingError
from typing import IO, Any, Literal, cast

import numpy as np

NUMBER = re.compile(r"[|<>=]?(?:[biu]1|[fiu][248])")  # dtypes that are let through
MOST_SIDES = 32  # dimensions of an array
LONGEST_SIDE = 2**40


@dataclass
class Kind:
    """A `numpy.dtype` in the making."""

    name: str
    order: Literal["<", ">", "|", "="] = "="

    def dtype(self) -> np.dtype:
        return np.dtype(self.name).newbyteorder(self.order)


@dataclass
class Array:
    """An array in the making: `_reconstruct` makes an empty one, its state has the rest."""

    value: np.ndarray | None = None


@dataclass(frozen=True)
class Call:
    """A function or class by its full name."""

    name: str


MARK = object()
NDARRAY = "numpy.ndarray"


def read_arrays(path: Path) -> Any:
    """What a pickle holds: dicts, lists, tuples, texts, numbers and `np.ndarray` of numbers.

    Raises `UnpicklingError` with the name of whatever else it holds, `ValueError` where the file
    is no pickle, is cut, or says of an array other sizes than its bytes have.
    """
    with path.open("rb") as file:
        if not path.stat().st_size:
            raise ValueError("empty file")
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            try:
                return _finished(Reader(len(data)).read(data))
            except (ArithmeticError, AttributeError, LookupError, TypeError, struct.error) as error:
                raise ValueError(f"no sound pickle ({type(error).__name__}: {error})") from None


def _finished(value: Any) -> Any:
    """Arrays in place of those in the making, in a dictionary and those in it."""
    if not isinstance(value, dict):
        return _array(value)
    return {
        key: {k: _array(v) for k, v in inner.items()} if isinstance(inner, dict) else _array(inner)
        for key, inner in value.items()
    }


def _array(value: Any) -> Any:
    return value.value if isinstance(value, Array) else value


class Reader:
    """The stack and the memory of one pickle."""

    def __init__(self, size: int) -> None:
        self.stack: list[Any] = []
        self.memory: dict[int, Any] = {}
        self.left = 2 * size  # bytes that may still be made: texts become bytes, bytes arrays

    def read(self, data: mmap.mmap) -> Any:
        for operation, value, _ in pickletools.genops(cast(IO[bytes], data)):
            name = operation.name
            if name in VALUES:
                self.stack.append(value)
            elif name in CONSTANTS:
                self.stack.append(CONSTANTS[name]())
            elif name == "STOP":
                return self.stack.pop()
            elif name in OPERATIONS:
                OPERATIONS[name](self, value)
            elif name not in ("PROTO", "FRAME"):
                raise UnpicklingError(f"operation {name}")
        raise ValueError("no end")

    def marked(self) -> list[Any]:
        """What lies above the last mark, which goes."""
        found = []
        while (value := self.stack.pop()) is not MARK:
            found.append(value)
        return found[::-1]

    def keep(self, number: int) -> None:
        self.memory[number] = self.stack[-1]

    def last(self, count: int) -> tuple[Any, ...]:
        """The last values, which go."""
        return tuple(self.stack.pop() for _ in range(count))[::-1]

    def dictionary(self) -> None:
        values = self.marked()
        self.stack.append({})
        self.set_items(values)

    def set_items(self, values: Sequence[Any]) -> None:
        """Keys and values, one after the other, into the dictionary below."""
        self.stack[-1].update(_dictionary(zip(values[::2], values[1::2], strict=True)))

    def extend(self, values: list[Any]) -> None:
        self.stack[-1].extend(values)

    def reduce(self) -> None:
        arguments, call = self.stack.pop(), self.stack.pop()
        if not isinstance(call, Call) or call.name not in CALLS:
            raise UnpicklingError(f"a call of {type(call).__name__}")
        self.stack.append(CALLS[call.name](self, *arguments))

    def build(self) -> None:
        """The state of a dtype or an array."""
        state, made = self.stack.pop(), self.stack[-1]
        if isinstance(made, Kind):
            _, order, *fields = state
            if order not in ("<", ">", "|", "=") or fields[:3] != [None, None, None]:
                raise UnpicklingError("a numpy.dtype of several fields")
            made.order = order
        elif isinstance(made, Array):
            *_, shape, kind, by_columns, data = state
            made.value = self.array(data, kind, shape, "F" if by_columns else "C")
        else:
            raise UnpicklingError(f"a state of {type(made).__name__}")

    def array(self, data: Any, kind: Any, shape: Any, order: str = "C") -> np.ndarray:
        """An array of numbers from its bytes, of just as many as its shape says."""
        if not isinstance(kind, Kind):
            raise UnpicklingError(f"numpy.dtype {type(kind).__name__}")
        if isinstance(data, str):
            data = data.encode("latin1")
        if not _is_shape(shape):
            raise ValueError("an array's shape is no tuple of sizes")
        if not isinstance(data, bytes | bytearray):
            raise UnpicklingError(f"an array of {type(data).__name__}")
        dtype = kind.dtype()
        wanted = math.prod(shape) * dtype.itemsize
        if wanted != len(data):
            raise ValueError(f"an array of {wanted:,} bytes has {len(data):,}")
        self.spend(wanted)
        plain = np.frombuffer(data, dtype).reshape(shape, order="F" if order == "F" else "C")
        return plain.astype(dtype.newbyteorder("="))

    def encode(self, text: str, encoding: str = "latin1") -> bytes:
        """`_codecs.encode`, in which Python 3 hides bytes from Python 2."""
        if encoding not in ("latin1", "latin-1"):
            raise UnpicklingError("_codecs.encode of another encoding than latin1")
        self.spend(len(text))
        return text.encode("latin1")

    def spend(self, size: int) -> None:
        self.left -= size
        if self.left < 0:
            raise ValueError("more bytes of arrays than the file holds")


def _is_shape(shape: Any) -> bool:
    return (
        isinstance(shape, tuple)
        and len(shape) <= MOST_SIDES
        and all(type(side) is int and 0 <= side <= LONGEST_SIDE for side in shape)
    )


def _dictionary(items: Iterable[Any]) -> dict[Any, Any]:
    """Keys are texts or numbers: the hash of a tuple in a tuple in a tuple ... may end Python."""
    found = {}
    for key, value in items:
        if not isinstance(key, str | int | bytes):
            raise UnpicklingError(f"a key that is a {type(key).__name__}")
        found[key] = value
    return found


def _kind(name: Any, *_: Any) -> Kind:
    if not isinstance(name, str) or not NUMBER.fullmatch(name):
        raise UnpicklingError("a numpy.dtype other than plain numbers")
    return Kind(name)


def _reconstruct(cls: Any, *_: Any) -> Array:
    if cls != Call(NDARRAY):
        raise UnpicklingError("an array of another class")
    return Array()


CALLS: dict[str, Callable[..., Any]] = {
    "numpy.dtype": lambda _, *arguments: _kind(*arguments),
    "numpy._core.multiarray._reconstruct": lambda _, *arguments: _reconstruct(*arguments),
    "numpy._core.multiarray.scalar": lambda reader, kind, data: reader.array(data, kind, ())[()],
    "numpy._core.numeric._frombuffer": Reader.array,
    "_codecs.encode": Reader.encode,
    "__builtin__.bytes": lambda _: b"",  # protocols 0 to 2 write no bytes so
    "collections.OrderedDict": lambda _, items=(): _dictionary(items),
}


def _call(module: str, name: str) -> Call:
    full = f"{module.replace('numpy.core.', 'numpy._core.')}.{name}"  # NumPy 1's: core
    if full not in CALLS and full != NDARRAY:
        raise UnpicklingError(full)
    return Call(full)


VALUES = {  # operations that push what stands behind them
    "INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT",
    "STRING", "BINSTRING", "SHORT_BINSTRING", "BINBYTES", "SHORT_BINBYTES", "BINBYTES8",
    "BYTEARRAY8", "UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8",
}  # fmt: skip
CONSTANTS: dict[str, Callable[[], Any]] = {
    "NONE": lambda: None, "NEWTRUE": lambda: True, "NEWFALSE": lambda: False, "MARK": lambda: MARK,
    "EMPTY_DICT": dict, "EMPTY_LIST": list, "EMPTY_TUPLE": tuple,
}  # fmt: skip
OPERATIONS: dict[str, Callable[[Reader, Any], Any]] = {
    "PUT": Reader.keep, "BINPUT": Reader.keep, "LONG_BINPUT": Reader.keep,
    "MEMOIZE": lambda reader, _: reader.keep(len(reader.memory)),
    **dict.fromkeys(
        ("GET", "BINGET", "LONG_BINGET"),
        lambda reader, number: reader.stack.append(reader.memory[number]),
    ),
    "POP": lambda reader, _: reader.stack.pop(),
    "POP_MARK": lambda reader, _: reader.marked(),
    "DUP": lambda reader, _: reader.stack.append(reader.stack[-1]),
    "TUPLE1": lambda reader, _: reader.stack.append(reader.last(1)),
    "TUPLE2": lambda reader, _: reader.stack.append(reader.last(2)),
    "TUPLE3": lambda reader, _: reader.stack.append(reader.last(3)),
    "TUPLE": lambda reader, _: reader.stack.append(tuple(reader.marked())),
    "LIST": lambda reader, _: reader.stack.append(reader.marked()),
    "DICT": lambda reader, _: reader.dictionary(),
    "APPEND": lambda reader, _: reader.extend([reader.stack.pop()]),
    "APPENDS": lambda reader, _: reader.extend(reader.marked()),
    "SETITEM": lambda reader, _: reader.set_items(reader.last(2)),
    "SETITEMS": lambda reader, _: reader.set_items(reader.marked()),
    "GLOBAL": lambda reader, name: reader.stack.append(_call(*name.split(" ", 1))),
    "STACK_GLOBAL": lambda reader, _: reader.stack.append(_call(*reader.last(2))),
    "REDUCE": lambda reader, _: reader.reduce(),
    "BUILD": lambda reader, _: reader.build(),
}  # fmt: skip
