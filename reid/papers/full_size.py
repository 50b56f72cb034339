"""A paper's experiments at its own size on a downloaded data set, as `reid add` writes them.

Each paper's folder has them as data, by the data set's reader; `{name}` stands for the data set's
name. No network library is imported for them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, cast

Entries = Mapping[str, Mapping[str, Any]]  # by key the values, as params.yaml has them


@dataclass(frozen=True)
class FullSize:
    """Entries of params.yaml: the stages that the paper reads, its `scale` and its `on`."""

    experiments: Entries
    scale: Entries = field(default_factory=lambda: {"{name}": {}})  # nothing: the paper's own size
    stages: Mapping[str, Entries] = field(default_factory=dict[str, Entries])
    comments: Mapping[str, str] = field(default_factory=dict[str, str])  # by parameter, beside it
    small: Entries = field(default_factory=dict[str, Mapping[str, Any]])  # in place of `scale`, for
    # `reid add --small`: a first training without a download
    weights: str = ""  # what has to be given: published weights that do not come with the project


def named(value: Any, name: str) -> Any:
    """A copy of entries with `name` where `{name}` stands, in keys and values."""
    if isinstance(value, str):
        return value.replace("{name}", name)
    if isinstance(value, Mapping):
        entries = cast(Mapping[str, Any], value)
        return {named(key, name): named(each, name) for key, each in entries.items()}
    return value
