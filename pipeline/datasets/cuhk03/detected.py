"""CUHK03, boxes of a detector. Layout, persons, cameras and protocols: see `cuhk03`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from pipeline.datasets.base import Listing, Reader, Sample
from pipeline.datasets.cuhk03 import reader as cuhk03
from pipeline.datasets.cuhk03 import writer as cuhk03_writing
from pipeline.datasets.cuhk03.reader import open_source

KIND = "detected"
INFO = cuhk03.info(KIND)


def read(root: Path) -> Listing:
    """List the images; see `cuhk03.read`."""
    return cuhk03.read(root, KIND)


def write(root: Path, samples: Iterable[Sample]) -> Iterator[str]:
    """Write samples in the official layout; see `cuhk03_writing.write`."""
    return cuhk03_writing.write(root, samples, KIND)


READER = Reader(info=INFO, read=read, write=write, open_source=open_source)
