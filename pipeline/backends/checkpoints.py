"""Weights of outside models: found, hashed and loaded without running code from the file."""

from __future__ import annotations

import hashlib
import http.client
import importlib
import os
import pickle
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from pipeline.backends.array_pickle import read_arrays
from reid.nn.weight_values import check_values
from reid.project.errors import ReidError

NO_DOWNLOAD = (
    "`weights: world` (fitted to rendered people; see `reid weights`), "
    "or `backend: given` with labels that you have (docs/own-data.md)"
)
UNTRUSTED = "set `trusted: true` if you trust it, or save its tensors as .safetensors"


def library(name: str, install: str) -> ModuleType:
    """Import an optional library, or say in one line what to install."""
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise ReidError(f"{name} is not usable here ({error}); {install}") from None


def file_hash(path: Path) -> str:
    """The SHA-256 of a weights file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def load_state(path: Path, *, trusted: bool) -> dict[str, Any]:
    """The tensors by name of a .safetensors file, a checkpoint, or a .pkl of arrays.

    Of a checkpoint its `state_dict` or `model` is taken. One that only full unpickling could read
    is refused unless it is `trusted`: unpickling runs code that the file chooses.
    """
    from reid.nn.weights import read_state

    if path.suffix != ".pkl" or not path.is_file():
        return read_state(path, trusted=trusted, instead=UNTRUSTED)
    try:
        return _load_arrays(path, trusted=trusted)
    except ReidError:
        raise
    except pickle.UnpicklingError:
        raise ReidError(
            f"{path}: holds more than arrays, or is no pickle; reading it may run code from the "
            f"file; {UNTRUSTED}"
        ) from None
    except Exception as error:  # a broken pickle may raise anything
        text = " ".join(f"{type(error).__name__}: {error}".split())
        raise ReidError(f"{path}: not readable as weights ({text})") from None


def _load_arrays(path: Path, *, trusted: bool) -> dict[str, Any]:
    """NumPy's arrays in a pickle, as tensors. Raises `ReidError` where there are none."""
    import torch

    if trusted:
        with path.open("rb") as file:
            loaded = pickle.Unpickler(file, encoding="latin1").load()
    else:
        loaded = read_arrays(path)
    state = loaded.get("model", loaded) if isinstance(loaded, dict) else {}
    items = state.items() if isinstance(state, dict) else ()
    arrays = {n: torch.from_numpy(np.array(a)) for n, a in items if isinstance(a, np.ndarray)}
    if not arrays:
        raise ReidError(f"{path}: holds no arrays by name")
    return arrays


def fill_model(model: Any, state: dict[str, Any], path: Path | str) -> None:
    """Load `state` into a torch model; every tensor of the model must be there.

    The model keeps its own precision: half-precision tensors become float32 in a float32 model.
    """
    own = model.state_dict()
    check_values(own, state, path)
    missing = sorted(n for n in own if n not in state and not n.endswith("num_batches_tracked"))
    wrong = sorted(n for n in own if n in state and state[n].shape != own[n].shape)
    if missing or wrong:
        what = f"no {missing[0]}" if missing else f"{wrong[0]} of another shape"
        raise ReidError(f"{path}: not this model's weights ({what}, {len(missing + wrong)} in all)")
    model.load_state_dict({n: state[n] for n in own if n in state}, strict=False)


def downloads_folder() -> Path:
    """Where torch keeps what is downloaded (`torch.hub.get_dir()`), without torch."""
    cache = Path(os.environ.get("XDG_CACHE_HOME", "~/.cache"))
    home = Path(os.environ.get("TORCH_HOME", cache / "torch"))
    return home.expanduser() / "hub" / "checkpoints"


def file_name(url: str) -> str:
    """What a download is called in `downloads_folder`."""
    return url.rsplit("/", 1)[-1]


def download(url: str) -> Path:
    """A library's own weights by URL, kept in torch's cache; one clear error with no network."""
    path = downloads_folder() / file_name(url)
    if path.is_file():
        return path
    import torch

    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        torch.hub.download_url_to_file(url, str(path), progress=False)
    except (OSError, http.client.HTTPException) as error:
        raise no_download(url, path, error) from None
    return path


def no_download(what: str, path: Path, error: object) -> ReidError:
    """The error of a download that failed: where to put the file, and the other ways."""
    return ReidError(
        f"cannot download {what} ({' '.join(str(error).split())}); put the file in {path.parent} "
        f"as {path.name}, or set `weights` to a path. Without a download: {NO_DOWNLOAD}"
    )
