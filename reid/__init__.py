"""Consumes built data sets: open them, train five papers' networks on them, evaluate.

Nothing heavy is imported before it is used: `reid --help` loads no torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from reid.data.dataset import Data, open
    from reid.data.torch import StatefulLoader

__all__ = ["Data", "StatefulLoader", "open"]


def __getattr__(name: str) -> Any:
    if name == "StatefulLoader":
        from reid.data.torch import StatefulLoader

        return StatefulLoader
    if name in __all__:
        from reid.data import dataset as data

        return getattr(data, name)
    raise AttributeError(f"module 'reid' has no attribute {name!r}")
