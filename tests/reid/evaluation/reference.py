"""CMC, both average precisions, mINP and what a query sees, by plain loops over the definitions."""

from typing import Any

import numpy as np
from hypothesis import strategies as st

from reid.evaluation.labels import Labels

EXCLUDE = ("same_person_same_camera", "same_camera", "none")


def seen(labels: Labels, query: int, exclude: str, junk: tuple[int, ...] = (-1,)) -> list[int]:
    """The gallery indices that a query sees, in order."""
    indices = []
    for index, person in enumerate(labels.gallery_person):
        same_person = person == labels.query_person[query]
        same_camera = labels.gallery_camera[index] == labels.query_camera[query]
        hidden = {
            "same_person_same_camera": same_person and same_camera,
            "same_camera": same_camera,
            "none": False,
        }[exclude]
        if person not in junk and not hidden:
            indices.append(index)
    return indices


def measured(distance: np.ndarray, labels: Labels, exclude: str) -> dict[str, Any] | None:
    """Everything by one walk down each ranking; None where no query has a match."""
    rectangle, trapezoid, minp, first, chance = [], [], [], [], []
    for query, row in enumerate(distance):
        indices = seen(labels, query, exclude)
        order = sorted(indices, key=lambda index, row=row: row[index])  # sorted() is stable
        match = [labels.gallery_person[index] == labels.query_person[query] for index in order]
        if not any(match):
            continue
        hits, old_recall, old_precision, area, precisions, last = 0, 0.0, 1.0, 0.0, [], 0
        for rank, hit in enumerate(match, 1):
            hits += hit
            recall, precision = hits / sum(match), hits / rank
            area += (recall - old_recall) * (old_precision + precision) / 2
            old_recall, old_precision = recall, precision
            if hit:
                precisions.append(precision)
                last = rank
        rectangle.append(sum(precisions) / sum(match))
        trapezoid.append(area)
        minp.append(sum(match) / last)
        first.append(1 + match.index(True))
        chance.append(sum(match) / len(order))
    if not first:
        return None
    means = {
        "map_rectangle": rectangle, "map_trapezoid": trapezoid, "minp": minp,
        "chance_rank1": chance,
    }  # fmt: skip
    return {
        **{name: sum(values) / len(values) for name, values in means.items()},
        "cmc": [sum(one <= k for one in first) / len(first) for k in range(1, 51)],
        "queries": len(first),
        "queries_without_match": len(distance) - len(first),
    }


@st.composite
def problems(
    draw: st.DrawFn, queries: int = 7, gallery: int = 40, persons: int = 4
) -> tuple[np.ndarray, Labels]:
    """Distances of few levels (ties everywhere) and labels with junk, distractors and no match."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    q, g = draw(st.integers(1, queries)), draw(st.integers(1, gallery))
    levels = draw(st.sampled_from([1, 2, 5, 50]))
    distance = rng.integers(0, levels, (q, g)).astype(np.float32) - 2
    labels = Labels.of(
        rng.integers(1, persons, q),
        rng.integers(0, 3, q),
        rng.integers(-1, persons, g),
        rng.integers(0, 3, g),
    )
    return distance, labels
