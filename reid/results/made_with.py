"""With which code and versions results were made, and of which data sets they are.

Reads   the git checkout that this code lies in, where there is one; installed packages; manifests
"""

from __future__ import annotations

import platform
import subprocess
from collections.abc import Iterable, Mapping
from contextlib import suppress
from importlib import metadata
from pathlib import Path

from reid.project.layout import Project
from reid.shards.manifest import read_manifest

CODE = Path(__file__).parents[2]
PACKAGES = {
    "reid-pipeline": "reid-pipeline", "torch": "torch", "torchvision": "torchvision",
    "timm": "timm", "numpy": "numpy", "pyarrow": "pyarrow", "opencv-contrib-python": "OpenCV",
}  # fmt: skip
UNKNOWN = "images of unknown source"  # built by a program that did not say it


def made_with() -> str:
    """The code's commit and the versions of what computes, in one line."""
    shown = ", ".join(f"{name} {version}" for name, version in versions().items())
    return f"Code: {commit()}. Versions: {shown}."


def versions() -> dict[str, str]:
    """The versions of what computes, by name."""
    found = {"Python": platform.python_version()}
    for package, name in PACKAGES.items():
        with suppress(metadata.PackageNotFoundError):
            found[name] = metadata.version(package)
    return found


def commit(code: Path = CODE) -> str:
    """The commit of the code below `code`, with `+ changes` where files differ from it."""
    if _git(code, "ls-files", "--error-unmatch", "reid/__init__.py") is None:
        return "no git checkout (an installed package, or a copy without .git)"
    head = _git(code, "rev-parse", "HEAD") or "none yet"
    changed = _git(code, "status", "--porcelain", "--", "reid", "pipeline")
    return f"commit {head[:12]}{' + changes' if changed else ''}"


def _git(folder: Path, *arguments: str) -> str | None:
    """What git says, None where it is not there or fails."""
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), *arguments], capture_output=True, text=True, timeout=60
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def kind_of(project: Project, dataset: str) -> str:
    """`rendered`, `photographs` or `own images`, as a data set's manifest says it."""
    manifest = read_manifest(project.shards(dataset))
    source = manifest.get("source") if manifest else None
    return source["kind"] if source else UNKNOWN


def by_kind(kinds: Mapping[str, str]) -> str:
    """Which data sets are rendered, photographs or a user's own, in one sentence each."""
    said = []
    for kind, words in (
        ("rendered", "Rendered worlds, in which no person is"),
        ("photographs", "Photographs"),
        ("own images", "Own images"),
        (UNKNOWN, "Of unknown source"),
    ):
        names = [name for name, own in kinds.items() if own == kind]
        if names:
            said.append(f"{words}: {', '.join(names)}.")
    return " ".join(said)


def seeds(values: Iterable[object]) -> str:
    """The seeds of experiments, in a few words."""
    found = sorted({str(value) for value in values if value is not None})
    return f"Seeds: {', '.join(found)}." if found else ""
