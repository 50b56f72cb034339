"""What lies below a raw folder: names and sizes, each folder listed once, several at a time.

Reads   the folders, and the content of files that are no images, see `_told`
Writes  a record beside the raw folder, never in it: of each folder its inode, its times of change
        and what it holds. It is of this machine, and may be deleted

A file that is rewritten in place leaves its folder's times as they were. So each pass asks for the
size of each file; a quick one alone takes what a folder holds from the record, where inode and
times are the folder's. Files that are no images are read at every pass.
"""

from __future__ import annotations

import hashlib
import os
import stat
import time
import zlib
from collections import deque
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa

from reid.project.errors import ReidError
from reid.project.layout import write_atomically
from reid.project.progress import advance

IMAGES = (
    ".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff", ".gif", ".ppm", ".pgm",
)  # fmt: skip
HASHED_BYTES = 2**30
THREADS = 8  # they wait for the file system, of a network's above all
AT_ONCE = 1_024  # folders given to the threads
# A folder that changed less long before its listing may change unseen: see `_list`.
SETTLED_NS = 2 * 10**9
SCHEMA = pa.schema(
    [
        ("path", pa.binary()), ("inode", pa.uint64()), ("modified", pa.int64()),
        ("changed", pa.int64()), ("folders", pa.list_(pa.binary())), ("files", pa.int64()),
        ("packed", pa.binary()),
    ],
    {"images": " ".join(IMAGES)},  # what is told of a file depends on them
)  # fmt: skip
Identity = tuple[int, int]  # device and inode


class Folder(NamedTuple):
    """What one folder holds. A time of 0 is of a folder that no later pass may take as it is."""

    inode: int
    modified: int  # ns
    changed: int
    folders: list[bytes]  # names, also of links to folders
    files: int
    packed: bytes  # names of files, and what is told of each: 10M files take 100 MB


@dataclass
class Tree:
    """All folders below a root, each once, and by which paths they were met."""

    met: dict[bytes, Identity] = field(default_factory=dict[bytes, Identity])
    found: dict[Identity, tuple[bytes, Folder]] = field(
        default_factory=dict[Identity, tuple[bytes, Folder]]
    )  # with the path by which it was listed

    def at(self, path: bytes) -> tuple[bytes, Folder]:
        return self.found[self.met[path]]


def digest(root: Path, record: Path, *, quick: bool = False) -> dict[str, int | str]:
    """Number of files below `root`, their bytes, and SHA-256 of the sorted path<TAB>size lines.

    The line of a file that is no image goes on with a tab and what `_told` says of it. Links are
    followed; a folder that was met before, such as by a link upwards, is not entered again: its
    line says `seen` for a size, and a link to nothing says `missing`. Raises `ReidError`.
    """
    before = _read(record)
    tree = walk(root, before if quick else {})
    after = {path: folder for path, folder in tree.found.values() if folder.changed}
    if after != before:
        write_beside(record, _record(after))
    text, files, size = hashlib.sha256(), 0, 0
    for lines, sizes in _lines(tree):
        text.update(lines)
        files, size = files + len(sizes), size + sum(sizes)
    return {"files": files, "bytes": size, "sha256": text.hexdigest()}


def write_beside(path: Path, data: bytes) -> None:
    """Write a file of a scan, beside the raw folder. Raises `ReidError` where that cannot be."""
    try:
        write_atomically(path, data)
    except OSError as error:
        raise ReidError(
            f"{path}: cannot be written ({error.strerror}); a scan keeps what it found beside the "
            f"raw folder: allow writing in {path.parent}, or make room, and scan again"
        ) from None


def walk(root: Path, known: Mapping[bytes, Folder]) -> Tree:
    """List all folders; what is `known` of one by its path is taken where nothing changed it."""
    tree, waiting = Tree(), deque([b""])
    look = partial(_look, os.fsencode(root), known, {})
    with ThreadPoolExecutor(THREADS) as pool:
        while waiting:
            paths = [waiting.popleft() for _ in range(min(AT_ONCE, len(waiting)))]
            for path, (identity, folder) in zip(paths, pool.map(look, paths), strict=True):
                tree.met[path] = identity
                if folder:
                    tree.found[identity] = path, folder
                    waiting.extend(_join(path, name) for name in folder.folders)
                    advance(folder.files)
    return tree


def _look(
    root: bytes, known: Mapping[bytes, Folder], first: dict[Identity, bytes], path: bytes
) -> tuple[Identity, Folder | None]:
    """A folder, or None where it is listed by another path; `first` has the path of each."""
    place = _join(root, path) if path else root
    try:
        opened = os.open(place, os.O_RDONLY | os.O_DIRECTORY)
        try:
            here = os.fstat(opened)
            identity = here.st_dev, here.st_ino
            if first.setdefault(identity, path) != path:
                return identity, None
            before = known.get(path)
            if before and before[:3] == (here.st_ino, here.st_mtime_ns, here.st_ctime_ns):
                return identity, _labels_anew(opened, before)
            return identity, _list(opened, here)
        finally:
            os.close(opened)
    except OSError as error:
        raise ReidError(f"{os.fsdecode(place)}: cannot be read ({error.strerror})") from None


def _list(opened: int, here: os.stat_result) -> Folder:
    """List a folder. Times are kept where a later change of its names must move them.

    Not so of what changed just now, as times go by ticks, nor where a link leads out of the folder.
    """
    keeps = time.time_ns() - max(here.st_mtime_ns, here.st_ctime_ns) > SETTLED_NS
    files: list[tuple[bytes, bytes]] = []
    folders: list[bytes] = []
    with os.scandir(opened) as entries:
        for entry in entries:
            keeps = keeps and not entry.is_symlink()
            if _is_folder(entry):
                folders.append(os.fsencode(entry.name))
            else:
                files.append((os.fsencode(entry.name), _told_of(entry, opened)))
    times = (here.st_mtime_ns, here.st_ctime_ns) if keeps else (0, 0)
    return Folder(here.st_ino, *times, sorted(folders), len(files), _pack(sorted(files)))


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself
        return False


def _told_of(entry: os.DirEntry[str], opened: int) -> bytes:
    try:
        status = entry.stat()
    except OSError:
        if entry.is_symlink():
            return b"missing"
        raise
    return _told(entry.name, status, opened)


def _told(name: str, status: os.stat_result, opened: int) -> bytes:
    """A file's size; of what is no image SHA-256 too, or the time of change of a large file."""
    size = b"%d" % status.st_size
    if name.lower().endswith(IMAGES):
        return size
    if status.st_size > HASHED_BYTES:
        return b"%s\t%d ns" % (size, status.st_mtime_ns)
    if not stat.S_ISREG(status.st_mode):  # a pipe would never end
        return size
    with open(os.open(name, os.O_RDONLY, dir_fd=opened), "rb") as file:  # noqa: PTH123
        return b"%s\t%s" % (size, hashlib.file_digest(file, "sha256").hexdigest().encode())


def _status(name: str, opened: int) -> os.stat_result:
    return os.stat(name, dir_fd=opened)


def _labels_anew(opened: int, folder: Folder) -> Folder:
    """The same folder, its files that are no images looked at."""
    files = _unpack(folder)
    anew = [
        (
            name,
            told if text.lower().endswith(IMAGES) else _told(text, _status(text, opened), opened),
        )
        for name, told in files
        for text in [os.fsdecode(name)]
    ]
    return folder if anew == files else folder._replace(packed=_pack(anew))


def _lines(tree: Tree) -> Iterator[tuple[bytes, list[int]]]:
    """Lines in the order of their whole paths, with the sizes that they tell."""
    again = _met_again(tree)
    waiting: list[tuple[bytes, bytes] | bytes] = [(b"", b"")]  # lines, or a folder: path, where met
    while waiting:
        item = waiting.pop()
        if isinstance(item, bytes):
            yield item, []
            continue
        path, met = item
        listed, folder = tree.at(met)
        files = _unpack(folder)
        prefix = _join(path, b"")
        sizes = [int(told.partition(b"\t")[0]) for _, told in files if told != b"missing"]
        lines = [(name, b"%s%s\t%s\n" % (prefix, name, told)) for name, told in files]
        if not folder.folders:
            yield b"".join([line for _, line in lines]), sizes
            continue
        yield b"", sizes
        mixed: list[tuple[bytes, tuple[bytes, bytes] | bytes]] = [*lines]
        for name in folder.folders:
            inner = _join(listed, name)
            if inner in again:
                mixed.append((name, b"%s%s\tseen\n" % (prefix, name)))
            else:  # its paths begin with its name and a slash, which sorts them among files
                mixed.append((name + b"/", (prefix + name, inner)))
        waiting += [item for _, item in sorted(mixed, key=lambda pair: pair[0], reverse=True)]


def _met_again(tree: Tree) -> set[bytes]:
    """Where folders are met that were entered before, depth first, in the order of names."""
    entered: set[Identity] = set()
    again: set[bytes] = set()
    waiting = [b""]
    while waiting:
        met = waiting.pop()
        if tree.met[met] in entered:
            again.add(met)
            continue
        entered.add(tree.met[met])
        listed, folder = tree.at(met)
        names = sorted(folder.folders, key=os.fsdecode, reverse=True)
        waiting += [_join(listed, name) for name in names]
    return again


def _join(path: bytes, name: bytes) -> bytes:
    """`path` empty is where it begins; `name` empty leaves a slash to go on with."""
    return b"%s/%s" % (path, name) if path else name


def _pack(files: list[tuple[bytes, bytes]]) -> bytes:
    return zlib.compress(b"\0".join(part for file in files for part in file), 1)


def _unpack(folder: Folder) -> list[tuple[bytes, bytes]]:
    parts = zlib.decompress(folder.packed).split(b"\0") if folder.files else []
    return list(zip(parts[::2], parts[1::2], strict=True))


def _record(folders: Mapping[bytes, Folder]) -> bytes:
    """A record's bytes: SHA-256 of the rest, then an Arrow stream."""
    columns = (
        [list(folders), *zip(*folders.values(), strict=True)] if folders else [[]] * len(SCHEMA)
    )
    arrays = [pa.array(values, kind) for values, kind in zip(columns, SCHEMA.types, strict=True)]
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, SCHEMA) as stream:
        stream.write_table(pa.table(arrays, schema=SCHEMA))
    body = sink.getvalue()
    return hashlib.sha256(body).digest() + body.to_pybytes()


def _read(record: Path) -> dict[bytes, Folder]:
    """What a record holds; nothing where it is missing, damaged or of another version."""
    try:
        data = record.read_bytes()
    except OSError:
        return {}
    if hashlib.sha256(data[32:]).digest() != data[:32]:
        return {}
    table = pa.ipc.open_stream(data[32:]).read_all()
    if not table.schema.equals(SCHEMA, check_metadata=True):
        return {}
    paths, *columns = (column.to_pylist() for column in table.columns)
    return dict(zip(paths, map(Folder, *columns), strict=True))
