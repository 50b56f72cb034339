"""Import ultralytics so that it keeps to itself: no calls home, installs or thread settings.

ultralytics is AGPL-3.0; it is imported only where its backend is chosen.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

from pipeline.backends.checkpoints import fill_model, library, load_state, no_download
from pipeline.core.errors import ReidError

ENDINGS = {"pose": "-pose", "segment": "-seg", "detect": ""}  # of model names, by task
SETTINGS = {"YOLO_OFFLINE": "true", "YOLO_AUTOINSTALL": "false", "YOLO_VERBOSE": "false"}


def import_ultralytics() -> ModuleType:
    """The library, after torch: imported before it, it would set one thread for the process."""
    import torch  # noqa: F401

    for name, value in SETTINGS.items():
        os.environ.setdefault(name, value)
    if "YOLO_CONFIG_DIR" not in os.environ:
        folder = Path.home() / ".cache" / "reid-pipeline" / "ultralytics"
        folder.mkdir(parents=True, exist_ok=True)
        os.environ["YOLO_CONFIG_DIR"] = str(folder)
    with own_threads():
        return library("ultralytics", "`pip install ultralytics` (AGPL-3.0)")


@contextmanager
def own_threads() -> Iterator[None]:
    """Keep torch's and the environment's thread settings, which ultralytics changes."""
    import torch

    threads, variable = torch.get_num_threads(), os.environ.get("OMP_NUM_THREADS")
    try:
        yield
    finally:
        torch.set_num_threads(threads)
        if variable is None:
            os.environ.pop("OMP_NUM_THREADS", None)


def load_yolo(model: str, weights: str, task: str, *, trusted: bool) -> Any:
    """A `YOLO` of `task` (pose, segment, detect).

    `model` is a name such as yolo11n-pose, or a .yaml file. `weights` is `random`, `pretrained`
    (the library's release of that name) or a path: .safetensors of the model's tensors, or a
    checkpoint, read as tensors and ultralytics' own classes alone unless it is `trusted`.
    """
    import torch

    ultralytics = import_ultralytics()
    path = Path(weights)
    if weights == "pretrained":
        path = Path(torch.hub.get_dir()) / "checkpoints" / f"{model}.pt"
        path.parent.mkdir(parents=True, exist_ok=True)
    elif weights != "random" and not path.is_file():
        raise ReidError(f"{path}: no such weights file (`pretrained`, `random` or a path)")
    if weights == "random" or path.suffix == ".safetensors":
        yolo = _untrained(ultralytics, model, task)
        if weights != "random":
            fill_model(yolo.model, load_state(path, trusted=trusted), path)
        return yolo
    ultralytics.nn.tasks.SAFE_LOAD = not trusted
    try:
        yolo = ultralytics.YOLO(str(path), task=task)
    except (ConnectionError, FileNotFoundError) as error:
        raise no_download(f"{model}.pt", path, error) from None
    except (TypeError, ModuleNotFoundError) as error:
        raise ReidError(
            f"{path}: not readable without running code from it; set `trusted: true` if you trust "
            f"it ({' '.join(str(error).split())[:200]})"
        ) from None
    if yolo.task != task:
        raise ReidError(f"{path}: a network for {yolo.task}, not for {task}")
    return yolo


def _untrained(ultralytics: ModuleType, model: str, task: str) -> Any:
    import torch

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        try:
            return ultralytics.YOLO(
                model if model.endswith(".yaml") else f"{model}.yaml", task=task
            )
        except (FileNotFoundError, KeyError):  # KeyError: a network for another task
            raise ReidError(
                f"ultralytics has no {task} model `{model}` (such as yolo11n{ENDINGS[task]})"
            ) from None
