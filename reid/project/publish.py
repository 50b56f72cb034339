"""Puts a finished folder in place, whole or not at all."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from reid.project.errors import ReidError
from reid.project.layout import as_json, link, sha256_of, write_atomically


@contextmanager
def publishing(target: Path, staging: Path) -> Iterator[Path]:
    """An empty folder to write into; it becomes `target` when the block ends.

    `staging` is where it lies until then, on the same file system. Where the block fails, `target`
    stays as it was and `staging` is removed; a kill while the folder is put in place leaves the
    old one, the new one or none. `ReidError` where `target` is a link.
    """
    refuse_link(target)
    shutil.rmtree(staging, ignore_errors=True)  # of a run that was killed
    try:
        staging.mkdir(parents=True)
        yield staging
        replace_folder(staging, target)
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def refuse_link(target: Path) -> None:
    """`ReidError` where what is to be published would replace a link, not a folder."""
    if target.is_symlink():
        raise ReidError(
            f"{target}: is a link to {target.readlink()}; a published folder replaces it as a "
            "whole. Remove the link, or link the folder that it lies in"
        )


def replace_folder(staged: Path, target: Path) -> None:
    """Put a finished folder in place of an earlier one."""
    trash = staged.with_name(staged.name + ".old")
    shutil.rmtree(trash, ignore_errors=True)
    target.parent.mkdir(parents=True, exist_ok=True)
    if target.exists():
        target.replace(trash)
    staged.replace(target)
    shutil.rmtree(trash, ignore_errors=True)


def keep(folder: Path, kept: Path) -> None:
    """A second name for each file of a folder that is about to be published.

    DVC removes what a stage wrote before it runs the stage again; what was kept is then published
    again.
    """
    with publishing(kept, kept.with_name(kept.name + ".new")) as copy:
        for path in folder.iterdir():
            link(path, copy / path.name)
    hashes = {path.name: sha256_of(path) for path in kept.iterdir()}
    write_atomically(_hashes(kept), as_json(hashes))


def is_as_kept(folder: Path, kept: Path, but: str = "") -> bool:
    """Whether a folder has every file, `but` one, with the content that was kept, by their hashes.

    What was kept are other names of published files: what is written into one, is in both. True
    where no hashes are known: `.work` may be deleted.
    """
    try:
        hashes: dict[str, str] = json.loads(_hashes(kept).read_text("utf-8"))
        asked = {name: value for name, value in hashes.items() if name != but}
        return all(sha256_of(folder / name) == value for name, value in asked.items())
    except FileNotFoundError:
        return not _hashes(kept).is_file()
    except (OSError, ValueError, AttributeError, ReidError):
        return False


def _hashes(kept: Path) -> Path:
    return kept.with_name(f"{kept.name}.sha256.json")


def publish_again(kept: Path, target: Path, staging: Path) -> None:
    """Publish what was kept."""
    with publishing(target, staging) as folder:
        for path in kept.iterdir():
            link(path, folder / path.name)
