"""Weights of outside models: found, hashed and loaded without running code from the file."""

from __future__ import annotations

import hashlib
import importlib
from pathlib import Path
from types import ModuleType
from typing import Any

from pipeline.core.errors import ReidError


def library(name: str, install: str) -> ModuleType:
    """Import an optional library, or say in one line what to install."""
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise ReidError(f"{name} is not usable here ({error}); {install}") from None


def file_hash(path: Path) -> str:
    """The SHA-256 of a weights file."""
    if not path.is_file():
        raise ReidError(f"{path}: no such weights file (`pretrained`, `random` or a path)")
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def load_state(path: Path, *, trusted: bool) -> dict[str, Any]:
    """The tensors by name of a .safetensors file or a checkpoint, whose `state_dict` is taken.

    A checkpoint that only full unpickling could read is refused unless it is `trusted`: unpickling
    runs code that the file chooses.
    """
    import pickle

    import torch

    if not path.is_file():
        raise ReidError(f"{path}: no such weights file (`pretrained`, `random` or a path)")
    if path.suffix == ".safetensors":
        from safetensors.torch import load_file

        return load_file(path)
    try:
        loaded = torch.load(path, map_location="cpu", weights_only=not trusted)
    except pickle.UnpicklingError:
        raise ReidError(
            f"{path}: holds more than tensors, or is no checkpoint; reading it may run code from "
            "the file. Set `trusted: true` if you trust it, or save its tensors as .safetensors"
        ) from None
    except (RuntimeError, EOFError) as error:
        raise ReidError(f"{path}: not a readable checkpoint: {error}") from None
    state = loaded.get("state_dict", loaded) if isinstance(loaded, dict) else None
    if not state:
        raise ReidError(f"{path}: no tensors by name in it")
    return state


def fill_model(model: Any, state: dict[str, Any], path: Path | str) -> None:
    """Load `state` into a torch model; every tensor of the model must be there."""
    own = model.state_dict()
    missing = sorted(n for n in own if n not in state and not n.endswith("num_batches_tracked"))
    wrong = sorted(n for n in own if n in state and state[n].shape != own[n].shape)
    if missing or wrong:
        what = f"no {missing[0]}" if missing else f"{wrong[0]} of another shape"
        raise ReidError(f"{path}: not this model's weights ({what}, {len(missing + wrong)} in all)")
    model.load_state_dict({n: state[n] for n in own if n in state}, strict=False)


def download(url: str) -> Path:
    """A library's own weights by URL, kept in torch's cache; one clear error with no network."""
    import torch

    path = Path(torch.hub.get_dir()) / "checkpoints" / url.rsplit("/", 1)[-1]
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            torch.hub.download_url_to_file(url, str(path), progress=False)
        except OSError as error:
            raise no_download(url, path, error) from None
    return path


def no_download(what: str, path: Path, error: object) -> ReidError:
    """The error of a download that failed: where to put the file, and the other ways."""
    return ReidError(
        f"cannot download {what} ({' '.join(str(error).split())}); put the file at {path}, or set "
        "`weights` to a path"
    )
