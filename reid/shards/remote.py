# fsspec has no types:
# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false
# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownLambdaType=false
"""Where bytes come from: a local file by `pread`, or byte ranges of anything that fsspec opens.

A location is a `Path`, or a `Remote` with as much of a path's manners as readers need. Remote files
are read by ranges alone, many in one call, which asynchronous file systems (http, s3, gs) send
together. Retries are the file system's; a read that fails or falls short is one `ReidError`.
"""

from __future__ import annotations

import functools
import io
import os
import pickle
import weakref
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from reid.project.errors import ReidError
from reid.project.layout import check_regular

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem

RangeReader = Callable[[int, int], bytes]  # (length, offset) to bytes
Range = tuple[int, int]  # first byte, end
Wanted = tuple["Remote", int, int]  # file, first byte, end

TAIL = 64 * 1024  # bytes read for a footer; most are shorter, of a longer one the rest follows


def place_of(root: str | Path, filesystem: AbstractFileSystem | None = None) -> Path | Remote:
    """The location that an address names: a `Path` where it is on this machine.

    `root` is a path, an fsspec address (`https://...`, `s3://...`), or a path on `filesystem`.
    """
    if filesystem is None and (isinstance(root, Path) or not ("://" in root or "::" in root)):
        return Path(root)
    from fsspec.implementations.local import LocalFileSystem

    if filesystem is None:
        filesystem, path = _found(str(root))
    else:
        # Each file system overrides it; there is no public name.
        path = cast(str, filesystem._strip_protocol(str(root)))  # pyright: ignore[reportPrivateUsage]
    if isinstance(filesystem, LocalFileSystem):
        return Path(path)
    return Remote(Files(filesystem), path)


def _found(address: str) -> tuple[AbstractFileSystem, str]:
    from fsspec.core import url_to_fs

    try:
        return url_to_fs(address)
    except ImportError as error:
        missing = getattr(error.__cause__ or error, "name", None)
        hint = f"; run `pip install {missing}`" if missing else ""
        raise ReidError(f"{address}: {error}{hint}") from None
    except Exception as error:  # each file system has errors of its own
        raise ReidError(f"{address}: cannot be opened: {_said(error)}") from None


class Files:
    """A file system that a forked or another process opens anew: connections cannot be shared."""

    def __init__(self, system: AbstractFileSystem) -> None:
        self._system, self._process = system, os.getpid()

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.system,)

    @property
    def system(self) -> AbstractFileSystem:
        if self._process != os.getpid():
            self._system = pickle.loads(pickle.dumps(self._system))
            self._process = os.getpid()
        return self._system


class Remote:
    """A file or folder on an fsspec file system. `size` in bytes is None until it is asked for."""

    def __init__(self, files: Files, path: str, size: int | None = None) -> None:
        self.files, self.path, self._size = files, path, size

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.files, self.path, self._size)

    def __truediv__(self, name: str) -> Remote:
        return Remote(self.files, f"{self.path.rstrip('/')}/{name}")

    def __str__(self) -> str:
        protocol = self.files.system.protocol
        protocol = protocol if isinstance(protocol, str) else protocol[0]
        known = "://" in self.path or protocol == "abstract"  # DVC's has no protocol of its own
        return self.path if known else f"{protocol}://{self.path}"

    @property
    def name(self) -> str:
        return self.path.rpartition("/")[2]

    @property
    def size(self) -> int:
        if self._size is None:
            size = self._asked(lambda: self.files.system.info(self.path)["size"])
            if size is None:
                raise ReidError(f"{self}: the server does not tell the file's size")
            self._size = int(size)
        return self._size

    def sized(self, size: int) -> Remote:
        """The same file, of a size that is known from elsewhere."""
        return Remote(self.files, self.path, size)

    def read_text(self, encoding: str = "utf-8") -> str:
        """The whole of a small file; raises `FileNotFoundError`."""
        return self._asked(lambda: self.files.system.cat_file(self.path)).decode(encoding)

    def names(self) -> list[str] | None:
        """What is in a folder, sorted; None where the file system cannot tell (plain http)."""
        try:
            listed = self.files.system.ls(self.path, detail=False)
        except Exception:  # each file system has errors of its own; none is told apart here
            return None
        return sorted({str(path).rstrip("/").rpartition("/")[2] for path in listed})

    def read(self, length: int, offset: int) -> bytes:
        """One range."""
        return read_ranges([(self, offset, offset + length)])[0]

    def _asked(self, action: Callable[[], Any]) -> Any:
        try:
            return action()
        except Exception as error:  # each file system has errors of its own
            if _is_absent(error):
                raise FileNotFoundError(str(self)) from None
            raise ReidError(f"{self}: cannot be read: {_said(error)}") from None


def open_range(file: Path | Remote) -> RangeReader:
    """A function `read(length, offset) -> bytes` on the file, which threads and forks may share.

    A local file closes when nobody refers to the function, so never under a thread that still
    reads.
    """
    if isinstance(file, Remote):
        return file.read
    descriptor = os.open(file, os.O_RDONLY | os.O_CLOEXEC)
    read = functools.partial(os.pread, descriptor)
    weakref.finalize(read, os.close, descriptor).atexit = False  # a thread may still read then
    return read


def read_ranges(wanted: Sequence[Wanted]) -> list[bytes]:
    """Ranges of files of one file system, in their order; one call."""
    if not wanted:
        return []
    paths = [file.path for file, _, _ in wanted]
    starts, ends = [start for _, start, _ in wanted], [end for _, _, end in wanted]
    first = wanted[0][0]
    try:
        pieces = first.files.system.cat_ranges(paths, starts, ends, on_error="return")
    except Exception as error:  # each file system has errors of its own
        raise ReidError(f"{first}: cannot be read: {_said(error)}") from None
    for (file, start, end), data in zip(wanted, pieces, strict=True):
        if isinstance(data, Exception) and _is_absent(data):
            raise ReidError(f"{file}: no such file")
        if isinstance(data, Exception):
            raise ReidError(f"{file}: bytes {start:,} to {end:,} not read: {_said(data)}")
        if len(data) != end - start:
            raise ReidError(_other_length(file, start, end, len(data)))
    return pieces


def _other_length(file: Remote, start: int, end: int, size: int) -> str:
    asked = f"{file}: asked for bytes {start:,} to {end:,}, got {size:,} bytes"
    if size > end - start:
        return f"{asked}; the server does not serve byte ranges: copy the data set, open it there"
    return f"{asked}; the file is shorter than its data set says, or was being copied"


def tails(files: Sequence[Remote]) -> list[bytes]:
    """The last bytes of each file.

    The first is read alone: a server without ranges sends all of it, and of no other file.
    """
    wanted = [(file, max(0, file.size - TAIL), file.size) for file in files]
    return [*read_ranges(wanted[:1]), *read_ranges(wanted[1:])]


def merged(ranges: Sequence[Range], gap: int) -> list[Range]:
    """Ranges in the order of the file; those at most `gap` bytes apart are one."""
    out: list[Range] = []
    for start, end in sorted(ranges):
        if out and start <= out[-1][1] + gap:
            out[-1] = out[-1][0], max(end, out[-1][1])
        else:
            out.append((start, end))
    return out


class RangeFile(io.RawIOBase):
    """A remote file for readers that want one; `pieces`, by their first byte, are read already."""

    def __init__(self, file: Remote, pieces: dict[int, bytes]) -> None:
        self.file, self.pieces, self.at = file, pieces, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self.at = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self.at}.get(whence, self.file.size)
        return self.at

    def tell(self) -> int:
        return self.at

    def read(self, size: int = -1) -> bytes:
        end = self.file.size if size < 0 else min(self.at + size, self.file.size)
        begin, self.at = self.at, max(self.at, end)
        for start, data in self.pieces.items():
            if start <= begin and end <= start + len(data):
                return data[begin - start : end - start]
        return self.file.read(end - begin, begin) if end > begin else b""


def text_of(file: Path | Remote) -> str | None:
    """The text of a small file, None where there is none."""
    try:
        if isinstance(file, Path):
            check_regular(file)
        return file.read_text("utf-8")
    except (FileNotFoundError, NotADirectoryError):
        return None
    except UnicodeDecodeError as error:
        raise ReidError(f"{file}: not UTF-8 text at byte {error.start:,}") from None
    except OSError as error:
        raise ReidError(f"{file}: cannot be read: {error.strerror}") from None


def size_of(file: Path | Remote) -> int:
    """A file's length in bytes."""
    return file.size if isinstance(file, Remote) else file.stat().st_size


def state_of(file: Path | Remote) -> tuple[int, int, int] | None:
    """What is another one once a local file is edited or replaced: inode, time in ns, bytes.

    None where there is no file, and for a remote one.
    """
    try:
        found = None if isinstance(file, Remote) else file.stat()
    except OSError:  # whoever reads it says what is wrong
        return None
    return found and (found.st_ino, found.st_mtime_ns, found.st_size)


def _is_absent(error: Exception) -> bool:
    """Stores that may not be listed answer 403 for what they do not have."""
    absent = isinstance(error, (FileNotFoundError, NotADirectoryError, PermissionError))
    return absent or getattr(error, "status", 0) in (403, 404)


def _said(error: Exception) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())
