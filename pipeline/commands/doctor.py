"""`reid doctor`: what this machine has, and how fast it decodes and writes."""

from __future__ import annotations

import importlib.util
import os
import platform
import shutil
import sys
import tempfile
import time
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

from reid.arrays import images
from reid.project import threads
from reid.project.layout import Project

LIBRARIES = (
    "reid-pipeline", "numpy", "pyarrow", "opencv-contrib-python", "simplejpeg", "torch",
    "torchvision", "timm", "ultralytics", "mmpose", "ptlflow", "detectron2", "dvc",
)  # fmt: skip
BACKENDS = {  # what each stage's backends need
    "joints: mmpose": "mmpose",
    "joints: ultralytics": "ultralytics",
    "joints: torchvision": "torchvision",
    "joints: given": "pyarrow",
    "masks: torchvision": "torchvision",
    "masks: detectron2": "detectron2",
    "masks: ultralytics": "ultralytics",
    "masks: given": "pyarrow",
    "crops: ultralytics": "ultralytics",
    "crops: depth": "cv2",
    "crops: given": "pyarrow",
    "flow: ptlflow": "ptlflow",
    "flow: dis": "cv2",
    "flow: lucas_kanade": "cv2",
    "flow: given": "pyarrow",
}
SECONDS = 1.0  # of each of the two benchmarks


def examine(project: Project) -> dict[str, dict[str, Any]]:
    """Groups of facts, for people and for bug reports."""
    return {
        "versions": {"python": sys.version.split()[0], **{n: _version(n) for n in LIBRARIES}},
        "machine": _machine(),
        "dvc": {"links": _links(project.root), "cache": _cache(project.root)},
        "disk": _disk(project.root),
        "backends": {
            name: "installed" if importlib.util.find_spec(library) else f"needs {library}"
            for name, library in BACKENDS.items()
        },
        "weights": weights(),
        "speed": speed(project.root),
    }


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "not installed"


def _machine() -> dict[str, Any]:
    found: dict[str, Any] = {
        "system": platform.platform(),
        "cores": threads.cores(),
        "decoder": "simplejpeg (libjpeg-turbo), OpenCV for PNG",
    }
    if importlib.util.find_spec("torch"):
        import torch

        names = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
        found["cuda"] = ", ".join(names) or "no device; the CPU is used"
    return found


def _links(root: Path) -> str:
    """Which of DVC's link types the project's file system has, by trying."""
    with tempfile.TemporaryDirectory(dir=root, prefix=".reid-doctor-") as folder:
        first, second = Path(folder) / "a", Path(folder) / "b"
        first.write_bytes(b"x")
        try:
            os.link(first, second)
        except OSError:
            return "copy (no hard links here: each file is kept twice)"
    return "hardlink"


def _cache(root: Path) -> str:
    path = root / ".dvc" / "config"
    return "configured" if path.is_file() else "no .dvc/config: run `dvc init`"


def _disk(root: Path) -> dict[str, str]:
    usage = shutil.disk_usage(root)
    return {"free": f"{usage.free / 1e9:.1f} GB", "total": f"{usage.total / 1e9:.1f} GB"}


def weights() -> dict[str, str]:
    """Weight files that the libraries have downloaded already; `reid weights` says more."""
    from pipeline.backends.checkpoints import downloads_folder

    found = sorted(downloads_folder().glob("*.pt*"))
    return {path.name: f"{path.stat().st_size / 1e6:.0f} MB" for path in found} or {
        "none": f"pretrained weights would lie in {downloads_folder()}"
    }


def speed(root: Path) -> dict[str, str]:
    """Images decoded and bytes written per second, about a second each."""
    noise = np.random.default_rng(0).integers(0, 255, (32, 16, 3), dtype=np.uint8)
    data = images.encode_jpeg(images.resize(noise, 256, 128))
    count, start = 0, time.perf_counter()
    while time.perf_counter() - start < SECONDS:
        images.decode(data)
        count += 1
    decoded = count / (time.perf_counter() - start)
    written, block, start = 0, os.urandom(1 << 22), time.perf_counter()
    with tempfile.TemporaryFile(dir=root) as file:
        while time.perf_counter() - start < SECONDS:
            file.write(block)
            os.fsync(file.fileno())
            written += len(block)
    rate = written / 1e6 / (time.perf_counter() - start)
    return {"decode 256x128": f"{decoded:,.0f} images/s, one core", "write": f"{rate:,.0f} MB/s"}
