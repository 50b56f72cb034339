"""One room per data set: it reads the official layout, and writes it too."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from types import ModuleType

from reid.project.errors import ReidError


def _market1501() -> ModuleType:
    from pipeline.datasets import market1501

    return market1501


def _dukemtmc_reid() -> ModuleType:
    from pipeline.datasets import dukemtmc_reid

    return dukemtmc_reid


def _cuhk03_labeled() -> ModuleType:
    from pipeline.datasets.cuhk03 import labeled

    return labeled


def _cuhk03_detected() -> ModuleType:
    from pipeline.datasets.cuhk03 import detected

    return detected


def _rap() -> ModuleType:
    from pipeline.datasets.rap import reader

    return reader


def _tvpr() -> ModuleType:
    from pipeline.datasets.tvpr import reader

    return reader


def _dpit() -> ModuleType:
    from pipeline.datasets.dpit import reader

    return reader


def _opr() -> ModuleType:
    from pipeline.datasets.opr import reader

    return reader


def _mars() -> ModuleType:
    from pipeline.datasets.mars import reader

    return reader


def _dukemtmc_video() -> ModuleType:
    from pipeline.datasets.dukemtmc_video import reader

    return reader


def _ilids_vid() -> ModuleType:
    from pipeline.datasets.ilids_vid import reader

    return reader


def _prid2011() -> ModuleType:
    from pipeline.datasets.prid2011 import reader

    return reader


def _folder() -> ModuleType:
    from pipeline.datasets.folder import reader

    return reader


READERS: dict[str, Callable[[], ModuleType]] = {  # `base` says what each module must have
    "market1501": _market1501,
    "dukemtmc_reid": _dukemtmc_reid,
    "cuhk03_labeled": _cuhk03_labeled,
    "cuhk03_detected": _cuhk03_detected,
    "rap": _rap,
    "tvpr": _tvpr,
    "dpit": _dpit,
    "opr": _opr,
    "mars": _mars,
    "dukemtmc_video": _dukemtmc_video,
    "ilids_vid": _ilids_vid,
    "prid2011": _prid2011,
    "folder": _folder,
}


def reader(name: str) -> ModuleType:
    """The module that reads data set layout `name`; `ReidError` with the known names otherwise."""
    if name not in READERS:
        close = difflib.get_close_matches(name.lower(), READERS, n=1)
        nearest = f"; did you mean `{close[0]}`?" if close else ""
        raise ReidError(f"no reader `{name}`{nearest} (there are {', '.join(READERS)})")
    return READERS[name]()
