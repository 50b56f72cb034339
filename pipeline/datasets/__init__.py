"""One room per data set: it reads the official layout, and writes it too."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from reid.project.errors import ReidError
from reid.project.names import unknown

if TYPE_CHECKING:
    from pipeline.datasets.base import Reader


def _market1501() -> Reader:
    from pipeline.datasets import market1501

    return market1501.READER


def _dukemtmc_reid() -> Reader:
    from pipeline.datasets import dukemtmc_reid

    return dukemtmc_reid.READER


def _cuhk03_labeled() -> Reader:
    from pipeline.datasets.cuhk03 import labeled

    return labeled.READER


def _cuhk03_detected() -> Reader:
    from pipeline.datasets.cuhk03 import detected

    return detected.READER


def _rap() -> Reader:
    from pipeline.datasets.rap import reader

    return reader.READER


def _tvpr() -> Reader:
    from pipeline.datasets.tvpr import reader

    return reader.READER


def _dpit() -> Reader:
    from pipeline.datasets.dpit import reader

    return reader.READER


def _opr() -> Reader:
    from pipeline.datasets.opr import reader

    return reader.READER


def _mars() -> Reader:
    from pipeline.datasets.mars import reader

    return reader.READER


def _dukemtmc_video() -> Reader:
    from pipeline.datasets.dukemtmc_video import reader

    return reader.READER


def _ilids_vid() -> Reader:
    from pipeline.datasets.ilids_vid import reader

    return reader.READER


def _prid2011() -> Reader:
    from pipeline.datasets.prid2011 import reader

    return reader.READER


def _folder() -> Reader:
    from pipeline.datasets.folder import reader

    return reader.READER


READERS: dict[str, Callable[[], Reader]] = {
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


def reader(name: str) -> Reader:
    """The reader of data set layout `name`; `ReidError` with the known names otherwise."""
    if name not in READERS:
        raise ReidError(unknown("reader", name, READERS))
    return READERS[name]()
