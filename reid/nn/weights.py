"""Weights from files, read without running code from them, and put into networks.

One reader for all that `weights` may name: .safetensors, and what torch.save wrote. Every fault of
a file is a `ReidError` of one line: the file, and what it is, lacks or has too much.
"""

from __future__ import annotations

import json
import pickle
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from reid.nn.plain_pickle import load_plain
from reid.nn.weight_values import check_values
from reid.project.errors import ReidError

NESTED = ("state_dict", "model", "state_dict_ema")  # where checkpoints keep a state dict
PARALLEL = "module."  # before each name of a network that torch trained on several devices
UNSAFE = "save its state dict alone, best as .safetensors"
FITS = "fits"  # of a safetensors file's metadata: parameters by name, as JSON
WORDS = "the words that `weights` takes in place of one are in docs/weights.md"
SHOWN = 3  # names in an error


def read_state(path: Path, *, trusted: bool = False, instead: str = UNSAFE) -> dict[str, Tensor]:
    """The tensors by name of a .safetensors file or a checkpoint, also where it nests them.

    A file that only full unpickling could read is refused unless it is `trusted`: unpickling runs
    code that the file chooses; the error ends with what to do `instead`.
    """
    if not path.is_file():
        raise ReidError(f"{path}: no such weights file (.safetensors, .pt, .pth); {WORDS}")
    if not path.stat().st_size:
        raise ReidError(f"{path}: not readable as weights (the file is empty)")
    try:
        loaded = _load(path, trusted)
    except pickle.UnpicklingError:
        raise ReidError(
            f"{path}: holds more than tensors, or is no checkpoint: it needs full unpickling, "
            f"which can run any code; {instead}"
        ) from None
    except Exception as error:  # safetensors and torch have many errors for a broken file
        kind = "safetensors" if path.suffix == ".safetensors" else "weights"
        raise ReidError(f"{path}: not readable as {kind} ({one_line(error)})") from None
    for key in NESTED:
        if isinstance(loaded, dict) and isinstance(loaded.get(key), dict):
            loaded = loaded[key]
    items = loaded.items() if isinstance(loaded, dict) else ()
    tensors = {n: t for n, t in items if isinstance(n, str) and isinstance(t, Tensor)}
    if all(name.startswith(PARALLEL) for name in tensors):
        tensors = {name.removeprefix(PARALLEL): tensor for name, tensor in tensors.items()}
    if not tensors:
        raise ReidError(f"{path}: holds no state dict (no tensors by name)")
    return tensors


def _load(path: Path, trusted: bool) -> Any:
    if path.suffix == ".safetensors":
        from safetensors.torch import load_file

        return load_file(path)
    if not trusted:
        return load_plain(path)
    import torch

    return torch.load(path, map_location="cpu", weights_only=False)


def fill(
    network: nn.Module, state: dict[str, Tensor], path: Path, name: str, own: Sequence[str] = ()
) -> None:
    """Load all of `state`, which must be all of `network` but for what begins with one of `own`.

    Raises `ReidError` with what is missing, too much, of another size or no finite floats; `name`
    is the network's.
    """
    check_values(network.state_dict(), state, path)
    try:
        missing, unknown = network.load_state_dict(state, strict=False)
    except RuntimeError as error:
        raise ReidError(f"{path}: {one_line(error)}") from None
    missing = [key for key in missing if not key.startswith(tuple(own))]
    if missing or unknown:
        words = [f"lacks {_few(missing)}"] if missing else []
        words += [f"has {_few(unknown)}"] if unknown else []
        raise ReidError(f"{path}: not weights of {name} ({'; '.join(words)})")


def fits_of(path: Path) -> dict[str, Any]:
    """The parameters that a trunk's file is of; {} of any other file."""
    if path.suffix != ".safetensors" or not path.is_file():
        return {}
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "pt") as file:
            found = json.loads((file.metadata() or {}).get(FITS, "{}"))
    except (SafetensorError, ValueError):  # `read_state` says what is wrong
        return {}
    return found if isinstance(found, dict) else {}


def _few(names: Sequence[str]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more


def one_line(error: Exception) -> str:
    """A library's error as one line of at most 160 characters."""
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= 160 else f"{text[:157]}..."
