"""Other projects' evaluators, each from a clone below one folder; their code is not copied here."""

from __future__ import annotations

import warnings
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

import numpy as np

from reid.evaluation.labels import Labels
from reid.project.errors import ReidError

TORCHREID, FASTREID = "deep-person-reid", "fast-reid"
COMPILED = {
    TORCHREID: "torchreid/metrics/rank_cylib",
    FASTREID: "fastreid/evaluation/rank_cylib",
}
RERANKING = {
    TORCHREID: "torchreid/utils/rerank.py",
    FASTREID: "fastreid/evaluation/rerank.py",
}
HOW = (
    "clone https://github.com/KaiyangZhou/deep-person-reid and https://github.com/JDAI-CV/fast-reid"
    " into one folder, run `python setup.py build_ext --inplace` in both folders rank_cylib (needs"
    " cython), and give the folder by --peers or REID_PEERS"
)


def check(folder: Path) -> None:
    """`ReidError` that says how to get what is absent below `folder`."""
    for name, home in COMPILED.items():
        if not [*(folder / name / home).glob("rank_cy.*so")]:
            raise ReidError(f"{folder / name / home}: no compiled rank_cy; {HOW}")


def compiled(folder: Path, name: str, distance: np.ndarray, labels: Labels) -> tuple[float, float]:
    """Rank-1 and mAP (rectangle) of distances (Q, G) by the compiled evaluator of a peer."""
    path = next((folder / name / COMPILED[name]).glob("rank_cy.*so"))
    curve, average, *_ = _module(path, "rank_cy").evaluate_cy(distance, *_in_order(labels), 50)
    return float(curve[0]), float(np.mean(average, dtype=np.float64))


def plain_python(folder: Path, distance: np.ndarray, labels: Labels) -> tuple[float, float]:
    """As `compiled`, by torchreid's evaluator in Python."""
    code = _module(folder / TORCHREID / "torchreid/metrics/rank.py", "rank")
    curve, average = code.evaluate_py(distance, *_in_order(labels), 50, False)
    return float(curve[0]), float(average)


def reranked(
    folder: Path, name: str, query: np.ndarray, among_queries: np.ndarray, gallery: np.ndarray
) -> np.ndarray:
    """Re-ranked distances (Q, G) by a peer, of (Q, G), (Q, Q), (G, G), which it squares."""
    return _module(folder / name / RERANKING[name], "rerank").re_ranking(
        query, among_queries, gallery
    )


def _in_order(labels: Labels) -> tuple[np.ndarray, ...]:
    return (
        labels.query_person, labels.gallery_person, labels.query_camera, labels.gallery_camera,
    )  # fmt: skip


def _module(path: Path, name: str) -> ModuleType:
    """One file of a peer, without its package; a compiled one must keep its name."""
    spec = spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    with warnings.catch_warnings(action="ignore"):  # it warns where its package is not installed
        spec.loader.exec_module(module)
    return module
