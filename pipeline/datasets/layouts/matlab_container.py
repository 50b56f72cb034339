"""Whether the bytes of a MATLAB 5 file hold together; nothing of them is loaded.

scipy's reader trusts the sizes and types in a file, and some damage ends its process. Sound here is
what is safe to give it: a header, elements of known types that end inside what they are in, packed
ones as long as they say, and as many values as the dimensions tell, in arrays of numbers, texts,
cells and structs. Other kinds (sparse arrays, functions, objects) are not looked into.

Source   MathWorks, MAT-File Format, level 5
"""

from __future__ import annotations

import math
import struct
import zlib
from collections.abc import Iterator

HEADER_BYTES = 128
ORDERS = {b"\x00\x01IM": "<", b"\x01\x00MI": ">"}  # the header's end: version 1 and byte order
INT8, INT32, UINT32, MATRIX, PACKED, UTF8 = 1, 5, 6, 14, 15, 16  # types of elements
NUMBERS = {
    1: 1,
    2: 1,
    3: 2,
    4: 2,
    5: 4,
    6: 4,
    7: 4,
    9: 8,
    12: 8,
    13: 8,
}  # bytes of each type
TEXTS = {1: 1, 2: 1, 4: 2, 16: 1, 17: 2, 18: 4}
CELL, STRUCT, TEXT, NUMERIC = 1, 2, 4, range(6, 16)  # classes of arrays
COMPLEX = 0x800  # a flag
MOST_DIMENSIONS = 32
DEEPEST = 16  # cells and structs in one another; RAP's labels have 3

Element = tuple[int, memoryview]  # type, content


def why_unsound(data: bytes) -> str:
    """Why a file is not seen to be sound; "" where it is."""
    order = ORDERS.get(data[124:HEADER_BYTES])
    if order is None or 0 in data[:4]:
        return "no header of MATLAB 5"
    try:
        for kind, content in _elements(memoryview(data)[HEADER_BYTES:], order, padded=False):
            if kind == PACKED:
                ((kind, content),) = _elements(memoryview(_unpacked(content, order)), order)
            if kind != MATRIX or not content:
                return f"a variable of type {kind}"
            _check_array(content, order, 1)
    except (ValueError, struct.error, zlib.error) as error:
        return str(error)
    return ""


def _unpacked(content: memoryview, order: str) -> bytes:
    """The element that is packed; inflates no more than its tag says it has."""
    stream = zlib.decompressobj()
    tag = stream.decompress(content, 8)
    size = struct.unpack(f"{order}4xI", tag)[0]
    rest = stream.decompress(stream.unconsumed_tail, size) if size else b""
    over = stream.decompress(stream.unconsumed_tail, 1)  # reads the checksum, too
    if over or len(rest) != size or not stream.eof or stream.unused_data:
        raise ValueError("a packed variable that is not as long as it says")
    return tag + rest


def _elements(content: memoryview, order: str, padded: bool = True) -> Iterator[Element]:
    """The elements one after the other in `content`, which they fill."""
    start, end = 0, len(content)
    while start < end:
        kind, size = struct.unpack_from(f"{order}II", content, start)
        begin = start + 8
        if kind >> 16:  # type and size in one word, and up to 4 bytes in the next
            kind, size, begin = kind & 0xFFFF, kind >> 16, start + 4
            if size > 4:
                raise ValueError(f"{size} bytes in a short element")
            start += 8
        else:
            start = begin + size + (-size % 8 if padded else 0)
        if start > end:
            raise ValueError("an element ends behind what it is in")
        yield kind, content[begin : begin + size]


def _check_array(content: memoryview, order: str, depth: int) -> None:
    """Raises `ValueError` where an array, the content of a matrix element, is not sound."""
    if depth > DEEPEST:
        raise ValueError(f"arrays more than {DEEPEST} deep in one another")
    parts = list(_elements(content, order))
    flags = struct.unpack(f"{order}II", _one(parts, 0, UINT32))[0]
    sizes = _one(parts, 1, INT32)
    dimensions = struct.unpack(f"{order}{len(sizes) // 4}i", sizes)
    if not 2 <= len(dimensions) <= MOST_DIMENSIONS or min(dimensions) < 0:
        raise ValueError(f"dimensions {dimensions}")
    _one(parts, 2, INT8, UTF8)
    values, kind, count = parts[3:], flags & 0xFF, math.prod(dimensions)
    if kind in NUMERIC:
        _check_values(values, 2 if flags & COMPLEX else 1, NUMBERS, count)
    elif kind == TEXT:
        _check_values(values, 1, TEXTS, count)
    elif kind == CELL:
        _check_cells(values, count, order, depth)
    elif kind == STRUCT:
        _check_cells(values[2:], count * _fields(values, order, count), order, depth)
    else:
        raise ValueError(f"an array of class {kind}")


def _one(parts: list[Element], index: int, *kinds: int) -> memoryview:
    """The content of one element, of one of the `kinds`."""
    if index >= len(parts) or parts[index][0] not in kinds:
        raise ValueError(f"no element of type {kinds[0]} as number {index + 1} of an array")
    return parts[index][1]


def _check_values(values: list[Element], wanted: int, sizes: dict[int, int], count: int) -> None:
    """`count` values in each of the elements; a text in UTF-8 may have more bytes."""
    if len(values) != wanted:
        raise ValueError(f"{len(values)} elements of values in place of {wanted}")
    for kind, content in values:
        size = count * sizes.get(kind, 0)
        fits = len(content) >= size if kind == UTF8 else len(content) == size
        if kind not in sizes or not fits:
            raise ValueError(f"{len(content)} bytes of type {kind} for {count} values")


def _fields(values: list[Element], order: str, count: int) -> int:
    """How many fields a struct has: names of one length, each of which a zero ends."""
    (length,) = struct.unpack(f"{order}i", _one(values, 0, INT32))
    names = bytes(_one(values, 1, INT8))
    if length < 1 or len(names) % length or any(names[length - 1 :: length]):
        raise ValueError(f"{len(names)} bytes of names of fields that have {length} each")
    if not names and count > 1:  # an array of any size, made of nothing
        raise ValueError(f"{count} structs without a field")
    return len(names) // length


def _check_cells(cells: list[Element], count: int, order: str, depth: int) -> None:
    if len(cells) != count:
        raise ValueError(f"{len(cells)} arrays in place of {count}")
    for kind, content in cells:
        if kind != MATRIX:
            raise ValueError(f"type {kind} in place of an array")
        if content:  # an empty element is an empty array
            _check_array(content, order, depth + 1)
