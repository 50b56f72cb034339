"""Score anyone's features by a named protocol.

Reads   a Parquet file with the columns `feature` (a list of numbers), `person`, `camera`, `role`
        (query or gallery) and optionally `tracklet`. Where roles overlap, two columns `query` and
        `gallery` of true or false stand for `role`.
        Or an .npz file with the arrays `query_feature`, `query_person`, `query_camera`,
        `gallery_feature`, `gallery_person`, `gallery_camera` and optionally `query_tracklet`,
        `gallery_tracklet`.
"""

from __future__ import annotations

import zipfile
import zlib
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from reid.evaluation.distances import Comparison, Distance, features_of
from reid.evaluation.labels import Labels
from reid.evaluation.metrics import evaluate, evaluate_distance
from reid.evaluation.pooling import Pool, pool_queries, pooled
from reid.evaluation.protocol import PROTOCOLS, Protocol, check_name
from reid.evaluation.single_shot import single_gallery_shot, single_gallery_shot_distance
from reid.evaluation.single_shot_curves import Sampling
from reid.project.errors import ReidError

ROLES = ("query", "gallery")
LABELS = ("person", "camera")
UNREADABLE = (  # what np.load raises on damaged files
    ValueError, OSError, EOFError, TypeError, MemoryError, NotImplementedError, RuntimeError,
    zipfile.BadZipFile, zlib.error,
)  # fmt: skip


@dataclass(frozen=True)
class Options:
    """Choices beside the protocol."""

    average_tracklets: bool = False  # one feature a tracklet, the mean of its frames'
    pool: Pool | None = None  # multi-query: the queries of one person in one camera become one
    rerank: bool = False  # k-reciprocal re-ranking before anything is counted
    sampling: Sampling = field(default_factory=Sampling)  # of a single gallery shot


@dataclass(frozen=True)
class Side:
    """Features (N, D) and labels (N,) of the queries or of the gallery."""

    feature: np.ndarray
    person: np.ndarray
    camera: np.ndarray
    tracklet: np.ndarray | None = None


def score(
    path: str | Path,
    protocol: str = "market1501",
    distance: Distance = "cosine",
    options: Options | None = None,
    *,
    chunk: int = 256,
    device: str = "cpu",
) -> dict[str, Any]:
    """Metrics of a features file under `protocol`, ready for JSON.

    The metrics name the protocol, average precision, pooling and drawing that they come from.
    Raises `ReidError` with the file and what is wrong in it.
    """
    options = options or Options()
    check_name("protocol", protocol, PROTOCOLS)
    query, gallery = read(path)
    for role, side in zip(ROLES, (query, gallery), strict=True):
        if not np.size(side.person):
            raise ReidError(f"{path}: no {role}")
    _check_queries(path, query, protocol)
    if options.average_tracklets:
        query, gallery = _averaged(path, query, "query"), _averaged(path, gallery, "gallery")
    comparison = Comparison(distance, chunk=chunk, device=device)
    try:
        metrics = measure(query, gallery, PROTOCOLS[protocol], options, comparison)
    except ReidError as error:
        raise ReidError(f"{path}: {error}") from None
    return {
        "protocol": protocol, "tracklets_averaged": options.average_tracklets,
        "query_pooling": options.pool, "reranked": options.rerank, **metrics,
    }  # fmt: skip


def measure(
    query: Side, gallery: Side, protocol: Protocol, options: Options, comparison: Comparison
) -> dict[str, Any]:
    """Metrics of query features against gallery features under a protocol, ready for JSON."""
    query = replace(query, camera=protocol.view(query.camera))
    gallery = replace(gallery, camera=protocol.view(gallery.camera))
    if options.pool is not None:
        query = Side(*pool_queries(query.feature, query.person, query.camera, options.pool))
    if options.rerank:
        return _reranked(query, gallery, protocol, options.sampling, comparison)
    labels = Labels.of(query.person, query.camera, gallery.person, gallery.camera)
    arguments = (query.feature, gallery.feature, labels, protocol, comparison)
    if protocol.single_shot:
        return single_gallery_shot(*arguments, options.sampling).as_dict()
    return evaluate(*arguments).as_dict()


def _reranked(
    query: Side, gallery: Side, protocol: Protocol, sampling: Sampling, comparison: Comparison
) -> dict[str, Any]:
    """As `measure`, from re-ranked distances to the gallery without junk."""
    from reid.evaluation.rerank import rerank

    every = Labels.of(query.person, query.camera, gallery.person, gallery.camera)
    own = features_of(query.feature, len(every.query_person), "query")
    others = features_of(gallery.feature, len(every.gallery_person), "gallery")
    kept, labels = every.without(protocol.junk)
    blocks = rerank(own, others[kept], comparison.distance, chunk=comparison.chunk)
    if protocol.single_shot:
        return single_gallery_shot_distance(blocks, labels, protocol, sampling).as_dict()
    return evaluate_distance(blocks, labels, protocol).as_dict()


def read(path: str | Path) -> tuple[Side, Side]:
    """The queries and the gallery of a features file."""
    path = Path(path)
    if not path.is_file():
        raise ReidError(f"{path}: no such file")
    if path.suffix == ".npz":
        return _read_npz(path)
    if path.suffix == ".parquet":
        return _read_parquet(path)
    raise ReidError(f"{path}: must end in .parquet or .npz")


def _read_npz(path: Path) -> tuple[Side, Side]:
    needed = [f"{role}_{name}" for role in ROLES for name in ("feature", *LABELS)]
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            _check_names(path, "array", needed, list(archive.files))
            arrays = {name: archive[name] for name in archive.files}
    except UNREADABLE as error:
        reason = "holds pickled objects; save plain arrays" if "ickle" in str(error) else error
        raise ReidError(f"{path}: not readable as .npz: {reason}") from None
    allowed = ("feature", *LABELS, "tracklet")
    query, gallery = (
        {name: arrays[f"{role}_{name}"] for name in allowed if f"{role}_{name}" in arrays}
        for role in ROLES
    )
    return Side(**query), Side(**gallery)


def _read_parquet(path: Path) -> tuple[Side, Side]:
    try:
        names = pq.read_schema(path).names
        roles = list(ROLES) if {*ROLES} <= {*names} and "role" not in names else ["role"]
        needed = ["feature", *LABELS, *roles]
        _check_names(path, "column", needed, names)
        table = pq.read_table(path, columns=needed + [n for n in ["tracklet"] if n in names])
    except (pa.ArrowException, OSError) as error:
        raise ReidError(f"{path}: not readable as Parquet: {error}") from None
    if not len(table):
        raise ReidError(f"{path}: no rows")
    for name in needed:
        if table[name].null_count:
            row = int(np.flatnonzero(table[name].is_null().to_numpy())[0])
            raise ReidError(f"{path}: `{name}` of row {row} is missing")
    arrays = {name: table[name].to_numpy() for name in LABELS}
    if "tracklet" in names and not table["tracklet"].null_count:  # null: images, not tracklets
        arrays["tracklet"] = table["tracklet"].to_numpy()
    arrays["feature"] = _matrix(path, table["feature"].combine_chunks())
    query, gallery = (
        Side(**{name: values[chosen] for name, values in arrays.items()})
        for chosen in _roles(path, table)
    )
    return query, gallery


def _roles(path: Path, table: pa.Table) -> list[np.ndarray]:
    """Which rows are queries and which are gallery, (N,) bool each."""
    if "role" in table.column_names:
        role = table["role"].to_numpy()
        unknown = sorted(set(role.tolist()) - set(ROLES), key=str)
        if unknown:
            raise ReidError(f"{path}: role `{unknown[0]}` (it must be query or gallery)")
        return [role == name for name in ROLES]
    for name in ROLES:
        if not pa.types.is_boolean(table[name].type):
            raise ReidError(f"{path}: `{name}` is {table[name].type}; it must be true or false")
    return [table[name].to_numpy() for name in ROLES]


def _matrix(path: Path, column: Any) -> np.ndarray:
    """A column of lists as an array (N, D)."""
    kind = column.type
    if pa.types.is_fixed_size_list(kind):
        lengths = [kind.list_size]
    elif pa.types.is_list(kind) or pa.types.is_large_list(kind):
        lengths = column.value_lengths().unique().to_pylist()
    else:
        lengths = []
    if len(lengths) > 1:
        raise ReidError(f"{path}: `feature` has lengths {sorted(lengths)[:3]}; all must be equal")
    values = column.flatten() if lengths else column
    if not (pa.types.is_floating(values.type) or pa.types.is_integer(values.type)):
        raise ReidError(f"{path}: `feature` is {kind}; it must be a list of numbers")
    numbers = values.to_numpy(zero_copy_only=False)  # a null within a list becomes NaN
    return numbers.reshape(len(column), lengths[0])


def _check_names(path: Path, what: str, needed: list[str], present: list[str]) -> None:
    missing = [name for name in needed if name not in present]
    if missing:
        raise ReidError(
            f"{path}: no {what} {', '.join(f'`{name}`' for name in missing)} "
            f"(it has {', '.join(present) or 'none'})"
        )


def _check_queries(path: str | Path, query: Side, name: str) -> None:
    protocol = PROTOCOLS[name]
    nobody = set(np.unique(query.person).tolist()) & {*protocol.junk, *protocol.distractors}
    if nobody:
        raise ReidError(
            f"{path}: a query has person {min(nobody)}, which in {name} is junk or a distractor; "
            "where it is an ordinary person, score by dukemtmc_reid"
        )


def _averaged(path: str | Path, side: Side, role: str) -> Side:
    """One entry for each (person, camera, tracklet): the mean of its features."""
    if side.tracklet is None:
        raise ReidError(f"{path}: {role} has no `tracklet` in every row; it cannot be averaged")
    labels = (side.person, side.camera, side.tracklet)
    if side.feature.ndim != 2 or any(a.shape != side.feature.shape[:1] for a in labels):
        raise ReidError(f"{path}: {role} features, persons, cameras, tracklets differ in number")
    if any(a.dtype.kind not in "iu" for a in labels) or side.feature.dtype.kind not in "fiu":
        raise ReidError(f"{path}: {role} labels must be whole numbers, features numbers")
    feature, first = pooled(side.feature, labels, "mean")
    return Side(feature, *(values[first] for values in labels))
