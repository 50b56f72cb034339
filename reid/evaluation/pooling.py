"""One feature for all images of a person in a camera, or of a tracklet.

Source  Multi-query: Zheng et al., ICCV 2015 (Market-1501), mean and max pooling of queries.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, get_args

import numpy as np

from reid.evaluation.distances import features_of
from reid.evaluation.labels import Labels
from reid.evaluation.protocol import check_name

Pool = Literal["mean", "max"]


def pooled(
    feature: np.ndarray, labels: Sequence[np.ndarray], pool: str
) -> tuple[np.ndarray, np.ndarray]:
    """Pool all features (N, D) with the same labels, each (N,), into one: their `mean` or `max`.

    Returns features (P, D), float32 if `mean`, ordered by the first label, then the next; and the
    index (P,) of the first row of each. Where images should weigh the same under `mean`, make their
    features unit vectors before.
    """
    check_name("pool", pool, get_args(Pool))
    _, first, group = np.unique(np.stack(labels), axis=1, return_index=True, return_inverse=True)
    order = np.argsort(group.ravel(), kind="stable")
    start = np.searchsorted(group.ravel()[order], np.arange(len(first)))
    if pool == "max":
        return np.maximum.reduceat(feature[order], start), first
    total = np.add.reduceat(feature[order].astype(np.float64), start)
    count = np.diff(start, append=len(order))[:, None]
    return (total / count).astype(np.float32), first


def pool_queries(
    feature: Any, person: Any, camera: Any, pool: Pool = "mean"
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Multi-query: the features (Q, D) of one person in one camera become one query.

    Returns features (P, D) float32, persons (P,) and cameras (P,), by person, then camera.
    """
    labels = Labels.of(person, camera, person, camera)
    feature = features_of(feature, len(labels.query_person), "query")
    person, camera = labels.query_person, labels.query_camera
    feature, first = pooled(feature, (person, camera), pool)
    return feature, person[first], camera[first]
