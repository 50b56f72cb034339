"""CUHK03's protocols with their published counts: the new protocol, and 20 splits."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pipeline.datasets.base import single_query
from pipeline.datasets.cuhk03.container import SPLITS
from pipeline.datasets.cuhk03.new_protocol import ROLES
from pipeline.datasets.layouts import names

IDENTITIES = {
    "identities": 1_467, "train_identities": 767, "query_identities": 700,
    "gallery_identities": 700,
}  # fmt: skip
PUBLISHED = {
    "labeled": {"images": 14_096, "train": 7_368, "query": 1_400, "gallery": 5_328, **IDENTITIES},
    "detected": {"images": 14_097, "train": 7_365, "query": 1_400, "gallery": 5_332, **IDENTITIES},
}


def counts(columns: dict[str, list[Any]]) -> dict[str, int]:
    """Images and identities of a listing, of all and by role."""
    persons = columns["person"]
    return {
        "images": len(persons), "identities": len(set(persons)),
        **names.count_roles(columns, ROLES),
    }  # fmt: skip


def new_protocol(counted: dict[str, int], kind: str) -> dict[str, Any]:
    """The 767 persons to train and 700 to test, whose roles are the rows' columns."""
    title = f"CUHK03 {kind}, 767 persons to train and 700 to test"
    return single_query("new", title, PUBLISHED[kind], counted)


def classic_protocol(
    name: str, test: Sequence[int], persons: Sequence[int], kind: str
) -> dict[str, Any]:
    """A split by its test persons; `persons` are those of all images, in any order."""
    held, everyone = set(test), set(persons)
    train = sorted(everyone - held)
    seen = sum(person in held for person in persons)
    counted = {"images": len(persons), "identities": len(everyone),
             "train": len(persons) - seen, "train_identities": len(train),
             "test": seen, "test_identities": len(held & everyone)}  # fmt: skip
    published = {"images": PUBLISHED[kind]["images"], "identities": 1_467,
                 "train_identities": 1_367, "test_identities": 100}  # fmt: skip
    return {
        "name": name,
        "title": f"CUHK03 {kind}, split {int(name[-2:])} of {SPLITS}, single gallery shot",
        "published": published,
        "found": counted,
        "members": {"train": {"persons": train}, "test": {"persons": list(test)}},
        "rule": {"exclude": "same_camera", "views": 2, "junk": [], "distractors": [],
                 "query": "every test image", "gallery": "single shot by repeats", "repeats": 10},
        "metrics": ["cmc"],
    }  # fmt: skip
