"""One module per data set: it reads the official layout, and writes it too."""

from __future__ import annotations

import difflib
import importlib
from types import ModuleType

from pipeline.core.errors import ReidError

READERS = (
    "market1501",
    "dukemtmc_reid",
    "cuhk03_labeled",
    "cuhk03_detected",
    "rap",
    "tvpr",
    "dpit",
    "opr",
    "mars",
    "dukemtmc_video",
    "ilids_vid",
    "prid2011",
    "folder",
)  # modules of this package; `base` says what each must have


def reader(name: str) -> ModuleType:
    """The module that reads data set layout `name`; `ReidError` with the known names otherwise."""
    if name not in READERS:
        close = difflib.get_close_matches(name.lower(), READERS, n=1)
        nearest = f"; did you mean `{close[0]}`?" if close else ""
        raise ReidError(f"no reader `{name}`{nearest} (there are {', '.join(READERS)})")
    return importlib.import_module(f"{__name__}.{name}")
