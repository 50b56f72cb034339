"""Consumes built data sets: open them, train five papers' networks on them, evaluate.

Nothing heavy is imported before it is used: `import reid` loads no torch and no pyarrow.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from reid.data.dataset import Data, open
    from reid.data.locate import datasets
    from reid.data.row import Row
    from reid.data.torch import StatefulLoader
    from reid.project.errors import ReidError

    __version__: str

__all__ = ["Data", "ReidError", "Row", "StatefulLoader", "__version__", "datasets", "open"]


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        return version("reid-pipeline")
    if name == "StatefulLoader":
        from reid.data.torch import StatefulLoader

        return StatefulLoader
    if name == "ReidError":
        from reid.project.errors import ReidError

        return ReidError
    if name == "Row":
        from reid.data.row import Row

        return Row
    if name == "datasets":
        from reid.data.locate import datasets

        return datasets
    if name in __all__:
        from reid.data import dataset as data

        return getattr(data, name)
    raise AttributeError(f"module 'reid' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*__all__, *(name for name in globals() if name.startswith("__"))})
