"""The checkpoint of every training: one file, written whole, that names its code and parameters."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Protocol

import torch
from pydantic import Field, TypeAdapter

from reid.nn.plain_pickle import load_plain
from reid.project.errors import ReidError
from reid.project.layout import check_regular, write_atomically


class Part(Protocol):
    """An object whose state a checkpoint keeps: a network, an optimizer."""

    def state_dict(self) -> dict[str, Any]: ...
    def load_state_dict(self, state_dict: dict[str, Any], /) -> Any: ...


Count = Annotated[int, Field(ge=0)]


@dataclass
class State:
    """How far a training is."""

    step: Count = 0  # steps done
    epoch: Count = 0  # epochs done
    batch: Count = 0  # batches done of the epoch that is under way
    sums: list[float] = field(default_factory=list)  # of the epoch's steps, the loss first
    recent: list[list[float]] = field(default_factory=list)  # steps that are not in `sums` yet
    history: list[dict[str, Any]] = field(default_factory=list)  # a line for each epoch


@dataclass(frozen=True)
class Checkpoint:
    """The state of a training and of its parts, by name.

    `identity` names the code and the parameters that it was made under; empty: any.
    """

    path: Path
    identity: str
    state: State
    parts: dict[str, dict[str, Any]]

    def save(self) -> None:
        buffer = io.BytesIO()
        stored = {"identity": self.identity, "state": vars(self.state), "parts": self.parts}
        torch.save(stored, buffer)
        write_atomically(self.path, buffer.getvalue())

    @classmethod
    def load(cls, path: Path, identity: str) -> Checkpoint | None:
        """The checkpoint at `path`; None where there is no file.

        `ReidError` where it cannot be read, or was made under another identity.
        """
        check_regular(path)
        if not path.is_file():
            return None
        try:
            stored = load_plain(path)
            state = TypeAdapter(State).validate_python(vars(State(**stored["state"])))
            parts = dict(stored["parts"])
            checkpoint = cls(path, stored["identity"], state, parts)
        except PermissionError as error:
            raise ReidError(f"{path}: cannot be read ({error.strerror})") from None
        except Exception:  # torch has many errors for a broken file
            raise ReidError(
                f"{path}: truncated, damaged, or no checkpoint of this version; delete this file "
                "to begin anew"
            ) from None
        if checkpoint.identity != identity:
            raise ReidError(
                f"{path}: made under other code or parameters ({checkpoint.identity or 'unnamed'}, "
                f"now {identity or 'unnamed'}); delete this file to begin anew"
            )
        return checkpoint

    def restore(self, parts: Mapping[str, Part]) -> None:
        """Load each part's state into it. `ReidError` where the checkpoint is of other parts."""
        try:
            for name, part in parts.items():
                part.load_state_dict(self.parts[name])
        except (KeyError, ValueError, TypeError, AttributeError, RuntimeError):
            raise ReidError(
                f"{self.path}: of another network or optimizer; delete this file to begin anew"
            ) from None
