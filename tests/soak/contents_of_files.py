"""Mutations of a file's bytes: cut, flipped, of another type, or a bomb."""

from __future__ import annotations

import pickle
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from random import Random

CANARY = "canary"  # the file that an unpickled payload would make


class Payload:
    """Makes a file in the working folder when it is unpickled."""

    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (Path(CANARY),)


def png_header(width: int, height: int) -> bytes:
    """A PNG whose header promises so many pixels, and that holds none of them."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        )

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    body = chunk(b"IDAT", zlib.compress(bytes(1000)))
    return b"\x89PNG\r\n\x1a\n" + header + body + chunk(b"IEND", b"")


def jpeg_header(width: int, height: int) -> bytes:
    """A JPEG whose frame promises so many pixels."""
    frame = struct.pack(">BHHB", 8, height, width, 3) + b"\1\x11\0\2\x11\0\3\x11\0"
    return b"\xff\xd8\xff\xc0" + struct.pack(">H", len(frame) + 2) + frame + b"\xff\xd9"


def empty(random: Random, data: bytes) -> bytes:
    del random, data
    return b""


def truncate(random: Random, data: bytes) -> bytes:
    return data[: random.randrange(max(1, len(data)))]


def flip(random: Random, data: bytes) -> bytes:
    changed = bytearray(data)
    for _ in range(random.choice((1, 1, 3, 20))):
        if changed:
            changed[random.randrange(len(changed))] ^= 1 << random.randrange(8)
    return bytes(changed)


def overwrite(random: Random, data: bytes) -> bytes:
    at, length = random.randrange(max(1, len(data))), random.choice((1, 4, 16, 64))
    return data[:at] + random.randbytes(length) + data[at + length :]


def repeat(random: Random, data: bytes) -> bytes:
    at = random.randrange(max(1, len(data)))
    return data[:at] + data[max(0, at - 50) :]


def append(random: Random, data: bytes) -> bytes:
    return data + random.choice((b"\0" * 100, b"trailing", data, random.randbytes(50)))


def noise(random: Random, data: bytes) -> bytes:
    return random.randbytes(len(data))


def bomb(random: Random, data: bytes) -> bytes:
    del data
    sizes = ((60_000, 60_000), (2**31 - 1, 2**31 - 1), (0, 5), (1, 2**32 - 1), (10_000, 10_000))
    width, height = random.choice(sizes)
    if random.random() < 0.3:
        return jpeg_header(min(width, 65_535), min(height, 65_535))
    return png_header(width, height)


def other_type(random: Random, data: bytes) -> bytes:
    texts = (
        b"<html><script>alert(1)</script></html>", b"PAR1" + data[4:] + b"PAR1", b"%PDF-1.4\n",
        b"GIF89a" + bytes(20), b"PK\x03\x04" + bytes(30), b"\x89HDF\r\n\x1a\n" + bytes(60),
        b"MATLAB 5.0 MAT-file".ljust(124) + b"\0\1IM" + bytes(40), b"{}", b"[]", b"null", b"\0",
        b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"\xef\xbb\xbf", b"\xff\xfe" + data, b"[" * 20_000,
        b"version https://git-lfs.github.com/spec/v1\n", pickle.dumps(Payload()),
    )  # fmt: skip
    return random.choice(texts)


KINDS: tuple[Callable[[Random, bytes], bytes], ...] = (
    empty, truncate, truncate, flip, flip, overwrite, repeat, append, noise, bomb, other_type,
)  # fmt: skip


def rewrite(random: Random, path: Path) -> str:
    """Change the bytes of a file; in words, what was done."""
    kind = random.choice(KINDS)
    before = path.read_bytes()
    after = kind(random, before)
    path.write_bytes(after)
    return f"{kind.__name__}: {path.name!r} from {len(before)} to {len(after)} bytes"
