"""Import ultralytics so that it keeps to itself: no calls home, installs or thread settings.

ultralytics is AGPL-3.0; it is imported only where its backend is chosen.
"""

from __future__ import annotations

import inspect
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

from pipeline.backends.checkpoints import library
from pipeline.backends.settings import Network
from pipeline.backends.weights import Choice, choose, file_of, fill
from reid.project.errors import ReidError

ENDINGS = {"pose": "-pose", "segment": "-seg", "detect": ""}  # of model names, by task
INSTALL = "`pip install ultralytics` (AGPL-3.0)"
TASKS = {"joints": "pose", "masks": "segment", "crops": "detect"}  # by stage
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
        return library("ultralytics", INSTALL)


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


def load_yolo(stage: str, settings: Network) -> Any:
    """The `YOLO` of a stage, with its weights.

    `settings.model` is a name such as yolo11n-pose, or a .yaml file. Weights are .safetensors of
    the model's tensors, or a checkpoint, which holds the model too: it is read as tensors and
    ultralytics' own classes alone, unless it is `trusted`.
    """
    choice, task = choose(stage, "ultralytics", settings), TASKS[stage]
    path = file_of(choice)
    if path is None or path.suffix == ".safetensors":
        yolo = untrained(choice.model, task)
        fill(yolo.model, choice, trusted=settings.trusted)
        return yolo
    ultralytics = import_ultralytics()
    ultralytics.nn.tasks.SAFE_LOAD = not settings.trusted
    try:
        yolo = ultralytics.YOLO(str(path), task=task)
    except (TypeError, ModuleNotFoundError) as error:
        raise ReidError(
            f"{path}: not readable without running code from it; set `trusted: true` if you trust "
            f"it ({' '.join(str(error).split())[:200]})"
        ) from None
    except Exception as error:  # empty, cut off, or something else: each has its own error
        text = " ".join(f"{type(error).__name__}: {error}".split())[:200]
        raise ReidError(f"{path}: not readable as weights ({text})") from None
    if yolo.task != task:
        raise ReidError(f"{path}: a network for {yolo.task}, not for {task}")
    return yolo


def address(choice: Choice) -> str:
    """Where ultralytics has its release of a model."""
    import_ultralytics()
    downloads = library("ultralytics.utils.downloads", INSTALL)
    name = f"{choice.model}.pt"
    if name not in downloads.GITHUB_ASSETS_NAMES:
        raise ReidError(
            f"{choice.stage}.weights: ultralytics has no release of {choice.model}; set `weights` "
            "to a path"
        )
    release = inspect.signature(downloads.attempt_download_asset).parameters["release"].default
    return f"https://github.com/{downloads.GITHUB_ASSETS_REPO}/releases/download/{release}/{name}"


def untrained(model: str, task: str) -> Any:
    """A `YOLO` with random weights, always the same."""
    import torch

    ultralytics = import_ultralytics()

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
