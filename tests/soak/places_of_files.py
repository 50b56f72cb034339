"""Mutations of what lies where: links, folders for files, pipes, deep nesting, access rights."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from random import Random

OUTSIDE_IMAGE = "secret.png"
DEPTH = 60  # folders in each other


def delete(random: Random, path: Path, outside: Path) -> str:
    del random, outside
    _clear(path)
    return "gone"


def duplicate(random: Random, path: Path, outside: Path) -> str:
    del outside
    copy = path.with_name(random.choice(("copy of ", "1", "._", "")) + path.name + " (2)")
    if random.random() < 0.5:
        copy = path.with_name(path.stem[:-1] + random.choice("0123456789") + path.suffix)
    if os.path.lexists(copy) or len(os.fsencode(copy.name)) > 255:
        return "not copied"
    if path.is_dir() and not path.is_symlink():
        shutil.copytree(path, copy, symlinks=True)
    else:
        shutil.copy2(path, copy, follow_symlinks=False)
    return f"copied to {copy.name!r}"


def folder_for_file(random: Random, path: Path, outside: Path) -> str:
    del random, outside
    _clear(path)
    path.mkdir()
    return "a folder now"


def file_for_folder(random: Random, path: Path, outside: Path) -> str:
    del random, outside
    _clear(path)
    path.write_bytes(b"a file")
    return "a file now"


def link(random: Random, path: Path, outside: Path) -> str:
    """A link to a file or folder outside, to nothing, to itself, to a device, or to the parent."""
    targets = (outside / OUTSIDE_IMAGE, outside, "nowhere", path.name, "/dev/null", "..", ".", "/")
    target = random.choice(targets)
    _clear(path)
    path.symlink_to(target)
    return f"a link to {target}"


def pipe(random: Random, path: Path, outside: Path) -> str:
    del random, outside
    _clear(path)
    os.mkfifo(path)
    return "a pipe now"


def nest(random: Random, path: Path, outside: Path) -> str:
    """Many folders in each other beside a file, with a copy of it at the bottom."""
    del outside
    deep = path.parent.joinpath(*[random.choice(("a", "0001", "query", "\u00e9"))] * DEPTH)
    deep.mkdir(parents=True, exist_ok=True)
    if path.is_file() and not path.is_symlink():
        shutil.copy2(path, deep / path.name)
    return f"{DEPTH} folders in each other beside it"


def stray(random: Random, path: Path, outside: Path) -> str:
    """Files of desktops and tools beside the data."""
    del outside
    name = random.choice((".DS_Store", "Thumbs.db", "readme.txt", "x.csv", ".git", "\udcff.jpg"))
    (path.parent / name).write_bytes(b"stray")
    return f"{name!r} beside it"


def forbid(random: Random, path: Path, outside: Path) -> str:
    """Take access rights away; a run as root drops to nobody for these."""
    del outside
    if path.is_symlink() or not path.exists():
        return "nothing forbidden"
    path.chmod(random.choice((0o000, 0o111, 0o222) if path.is_dir() else (0o000, 0o222)))
    return "forbidden"


Kind = Callable[[Random, Path, Path], str]
OF_FILES: tuple[Kind, ...] = (
    delete, delete, duplicate, folder_for_file, link, link, pipe, nest, stray, forbid,
)  # fmt: skip
OF_FOLDERS: tuple[Kind, ...] = (delete, duplicate, file_for_folder, link, pipe, nest, stray, forbid)


def move(random: Random, path: Path, outside: Path) -> str:
    """Change what lies at `path`; in words, what was done."""
    kind = random.choice(OF_FOLDERS if path.is_dir() and not path.is_symlink() else OF_FILES)
    return f"{kind.__name__}: {path.name!r} is {kind(random, path, outside)}"


def _clear(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
