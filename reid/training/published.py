"""What a finished training leaves in 3-runs: its weights, its history, and what it is of."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import nn

from reid.code.fingerprint import Code
from reid.code.published import FILE, as_file
from reid.project.layout import as_json, link, write_atomically
from reid.project.publish import publishing


def save_weights(path: Path, network: nn.Module) -> None:
    """A network's weights as safetensors, written atomically."""
    from safetensors.torch import save

    tensors = {n: t.detach().cpu().contiguous() for n, t in network.state_dict().items()}
    write_atomically(path, save(tensors))


def is_published(target: Path, key: str) -> bool:
    try:
        return json.loads((target / "experiment.json").read_text("utf-8"))["key"] == key
    except (OSError, ValueError, KeyError):
        return False


def publish(
    target: Path, staging: Path, described: Mapping[str, Any], weights: Sequence[Path],
    history: Sequence[Mapping[str, Any]], code: Code,
) -> None:  # fmt: skip
    """Put a finished training in place: weights, what it is of, a line for each epoch, its code."""
    with publishing(target, staging) as folder:
        for path in weights:
            link(path, folder / path.name)
        (folder / "experiment.json").write_bytes(as_json(described))
        (folder / FILE).write_bytes(as_file(code))
        write_history(folder / "history.csv", history)


def write_history(path: Path, history: Sequence[Mapping[str, Any]]) -> None:
    """One line for each epoch, all with the columns of the first."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(history[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(history)
