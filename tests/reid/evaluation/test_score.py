"""Features files, good and damaged, and what their score is."""

import json
import pickle

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from reid.evaluation import distances, metrics
from reid.evaluation.labels import Labels
from reid.evaluation.protocol import PROTOCOLS
from reid.evaluation.score import Options, score
from reid.evaluation.single_shot_curves import Sampling
from reid.project.errors import ReidError


def features(seed=0, queries=12, gallery=40):
    """As an .npz: six persons in three cameras, junk and distractors in the gallery."""
    rng = np.random.default_rng(seed)
    arrays = {}
    for role, count, lowest in (("query", queries, 1), ("gallery", gallery, -1)):
        person = rng.integers(lowest, 7, count)
        arrays[f"{role}_feature"] = np.eye(8)[person] + rng.normal(size=(count, 8))
        arrays[f"{role}_person"] = person
        arrays[f"{role}_camera"] = rng.integers(1, 4, count)
    return arrays


def table(arrays, kind="list", **columns):
    rows = {"role": ["query"] * len(arrays["query_person"])}
    rows["role"] += ["gallery"] * len(arrays["gallery_person"])
    for name in ("person", "camera"):
        rows[name] = np.concatenate([arrays[f"query_{name}"], arrays[f"gallery_{name}"]])
    lists = np.concatenate([arrays["query_feature"], arrays["gallery_feature"]]).tolist()
    types = {"list": pa.list_(pa.float32()), "fixed": pa.list_(pa.float64(), 8)}
    rows["feature"] = pa.array(lists, types[kind])
    return pa.table({**rows, **columns})


def by_metrics(arrays, distance="cosine"):
    roles, names = ("query", "gallery"), ("person", "camera")
    labels = Labels.of(*(arrays[f"{role}_{name}"] for role in roles for name in names))
    features = (arrays[f"{role}_feature"] for role in roles)
    protocol, comparison = PROTOCOLS["market1501"], distances.Comparison(distance)
    return metrics.evaluate(*features, labels, protocol, comparison).as_dict()


@pytest.mark.parametrize("kind", ["npz", "list", "fixed"])
@pytest.mark.parametrize("distance", distances.DISTANCES)
def test_score_is_the_metrics(tmp_path, kind, distance):
    arrays = features()
    if kind == "npz":
        path = tmp_path / "features.npz"
        np.savez(path, **arrays)
    else:
        path = tmp_path / "features.parquet"
        shuffled = np.random.default_rng(1).permutation(52)
        pq.write_table(table(arrays, kind).take(shuffled), path, row_group_size=10)
        parts = [shuffled[shuffled < 12], shuffled[shuffled >= 12] - 12]
        for role, order in zip(("query", "gallery"), parts, strict=True):
            for name in ("feature", "person", "camera"):
                arrays[f"{role}_{name}"] = arrays[f"{role}_{name}"][order]
    result = score(path, "market1501", distance)
    wanted = by_metrics(arrays, distance)
    assert {name: result[name] for name in wanted} == wanted
    assert result["protocol"] == "market1501"
    assert json.loads(json.dumps(result)) == result


def test_protocols_differ_as_they_say(tmp_path):
    path = tmp_path / "features.npz"
    arrays = features()
    np.savez(path, **arrays)
    junk = int((arrays["gallery_person"] == -1).sum())
    results = {name: score(path, name) for name in PROTOCOLS}
    assert {name: result["junk_dropped"] for name, result in results.items()} == {
        "market1501": junk, "dukemtmc_reid": 0, "cuhk03_classic": 0, "cross_camera": 0,
        "all_pairs": 0,
    }  # fmt: skip
    assert results["cross_camera"]["exclude"] == "same_camera"
    assert results["all_pairs"]["exclude"] == "none"


def test_tracklets_are_averaged(tmp_path):
    path = tmp_path / "features.parquet"
    arrays = {
        "query_feature": np.array([[2.0, 0.0], [0.0, 2.0]]),  # a tracklet whose mean is (1, 1)
        "query_person": np.array([1, 1]),
        "query_camera": np.array([1, 1]),
        "gallery_feature": np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 0.2]]),  # mean of two (0.5, 0.5)
        "gallery_person": np.array([1, 1, 2]),
        "gallery_camera": np.array([2, 2, 2]),
    }
    rows = table(arrays | {"query_feature": np.pad(arrays["query_feature"], ((0, 0), (0, 6))),
                           "gallery_feature": np.pad(arrays["gallery_feature"], ((0, 0), (0, 6)))},
                 tracklet=[4, 4, 9, 9, 3])  # fmt: skip
    pq.write_table(rows, path)
    result = score(path, options=Options(average_tracklets=True))
    figures = [result[name] for name in ("queries", "gallery", "rank1", "map")]
    assert figures == [1, 2, 1.0, 1.0]
    assert result["tracklets_averaged"]
    assert score(path)["queries"] == 2


def test_roles_may_overlap_as_two_columns(tmp_path):
    path = tmp_path / "features.parquet"
    rows = table(features()).drop_columns(["role"])
    rows = rows.append_column("query", pa.array([True] * 12 + [False] * 40))
    rows = rows.append_column("gallery", pa.array([True] * 52))
    pq.write_table(rows, path)
    result = score(path)
    assert result["queries"] + result["queries_without_match"] == 12
    assert result["gallery"] + result["junk_dropped"] == 52
    pq.write_table(rows.set_column(rows.num_columns - 1, "gallery", pa.array([1] * 52)), path)
    with pytest.raises(ReidError, match="`gallery` is int64; it must be true or false"):
        score(path)


def without(name):
    return lambda arrays: {key: value for key, value in arrays.items() if key != name}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        pytest.param(
            without("gallery_camera"), "no array `gallery_camera` (it has query_f", id="lacks"
        ),
        pytest.param(
            lambda a: a | {"query_person": a["query_person"][:5]},
            "12 values for 5 persons",
            id="len",
        ),
        pytest.param(
            lambda a: a | {"query_feature": a["query_feature"] * np.nan}, "not finite", id="NaN"
        ),
        pytest.param(
            lambda a: a | {"query_feature": a["query_feature"][:, :3]}, "3 dimensions", id="dim"
        ),
        pytest.param(
            lambda a: a | {"gallery_feature": a["gallery_feature"][0]}, "must be (im", id="shape"
        ),
        pytest.param(
            lambda a: a | {"gallery_feature": a["gallery_feature"][1:]}, " rows for ", id="rows"
        ),
        pytest.param(
            lambda a: a | {"query_feature": a["query_feature"] > 0}, "must be num", id="bool"
        ),
        pytest.param(
            lambda a: {k: v[:0] if k[0] == "q" else v for k, v in a.items()}, "no query", id="empty"
        ),
        pytest.param(
            lambda a: a | {"query_person": a["query_person"] * 0}, "person 0, which", id="nobody"
        ),
        pytest.param(
            lambda a: a | {"query_person": np.array([1, None])}, "pickled objects", id="pickled"
        ),
        pytest.param(
            lambda a: a | {"gallery_person": a["gallery_person"] + 90}, "no query has a", id="none"
        ),
    ],
)
@pytest.mark.parametrize("rerank", [False, True], ids=["plain", "re-ranked"])
def test_damaged_npz(tmp_path, change, message, rerank):
    path = tmp_path / "features.npz"
    np.savez(path, **change(features()))
    with pytest.raises(ReidError) as error:
        score(path, options=Options(rerank=rerank))
    assert str(error.value).startswith(f"{path}: ")
    assert message in str(error.value)


def ragged(rows):
    lists = rows["feature"].to_pylist()
    lists[3] = lists[3][:4]
    return rows.set_column(rows.column_names.index("feature"), "feature", pa.array(lists))


def replaced(name, values):
    return lambda rows: rows.set_column(rows.column_names.index(name), name, pa.array(values(rows)))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        pytest.param(
            lambda t: t.drop_columns(["role", "camera"]), "no column `camera`, `role`", id="lacks"
        ),
        pytest.param(ragged, "lengths [4, 8]", id="ragged"),
        pytest.param(replaced("role", lambda t: ["probe"] * len(t)), "role `probe`", id="role"),
        pytest.param(replaced("role", lambda t: ["gallery"] * len(t)), "no query", id="no query"),
        pytest.param(replaced("role", lambda t: ["query"] * len(t)), "no gallery", id="no gallery"),
        pytest.param(replaced("feature", lambda t: ["x"] * len(t)), "list of numbers", id="text"),
        pytest.param(
            replaced("feature", lambda t: [["x"]] * len(t)), "list of numbers", id="texts"
        ),
        pytest.param(
            replaced("feature", lambda t: [[1.0, None]] * len(t)), "not finite", id="null"
        ),
        pytest.param(
            replaced("camera", lambda t: [1, None] * (len(t) // 2)),
            "`camera` of row 1",
            id="null label",
        ),
        pytest.param(
            replaced("person", lambda t: ["7"] * len(t)), "whole numbers", id="text label"
        ),
    ],
)
def test_damaged_parquet(tmp_path, change, message):
    path = tmp_path / "features.parquet"
    pq.write_table(change(table(features())), path)
    with pytest.raises(ReidError) as error:
        score(path)
    assert str(error.value).startswith(f"{path}: ")
    assert message in str(error.value)


@pytest.mark.parametrize("name", ["a.npz", "a.parquet"])
@pytest.mark.parametrize(
    "content", [b"", b"PK\x03\x04 and no more", pickle.dumps([1, 2]), b"PAR1 x PAR1"],
    ids=["empty", "cut zip", "pickle", "cut parquet"],
)  # fmt: skip
def test_not_that_format(tmp_path, name, content):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(ReidError, match="not readable as"):
        score(path)


def test_wrong_names(tmp_path):
    with pytest.raises(ReidError, match="no such file"):
        score(tmp_path / "absent.npz")
    (tmp_path / "a.csv").touch()
    with pytest.raises(ReidError, match=r"must end in \.parquet or \.npz"):
        score(tmp_path / "a.csv")
    with pytest.raises(ReidError, match="protocol: no `market` "):
        score(tmp_path / "a.csv", "market")
    np.savez(tmp_path / "a.npz", **features())
    with pytest.raises(ReidError, match="no `tracklet` in every row"):
        score(tmp_path / "a.npz", options=Options(average_tracklets=True))


@pytest.mark.parametrize("name", ["a.npz", "compressed.npz", "a.parquet"])
def test_random_damage_is_never_a_traceback(tmp_path, name):
    path = tmp_path / name
    if name == "a.parquet":
        pq.write_table(table(features(), tracklet=list(range(52))), path)
    else:
        tracklets = {"query_tracklet": np.arange(12), "gallery_tracklet": np.arange(40)}
        save = np.savez_compressed if "compressed" in name else np.savez
        save(path, **features(), **tracklets)
    good, rng = path.read_bytes(), np.random.default_rng(5)
    messages = []
    for _ in range(150):
        bad = bytearray(good[: rng.integers(1, len(good))] if rng.random() < 0.2 else good)
        for at in rng.integers(0, len(bad), rng.integers(1, 30)):
            bad[at] = rng.integers(256)
        path.write_bytes(bytes(bad))
        try:
            score(path, "all_pairs", options=Options(bool(rng.integers(2))))
        except ReidError as error:
            messages.append(str(error))
    assert len(messages) > 75
    assert all(message.startswith(f"{path}: ") for message in messages)


def arrays(seed: int = 0) -> dict[str, np.ndarray]:
    """Five persons in two cameras, two images each a camera; camera 1 is searched in camera 2."""
    rng = np.random.default_rng(seed)
    person = np.repeat(np.arange(1, 6), 2)
    centre = rng.standard_normal((6, 4))
    result = {}
    for role, camera in (("query", 1), ("gallery", 2)):
        result[f"{role}_feature"] = centre[person] + 0.8 * rng.standard_normal((10, 4))
        result[f"{role}_person"], result[f"{role}_camera"] = person, np.full(10, camera)
    return result


def test_single_shot_by_expectation_and_by_draws_agree(tmp_path):
    path = tmp_path / "a.npz"
    np.savez(path, **arrays())
    exact = score(path, "cuhk03_classic")
    assert exact["draw"] == "expected"
    assert exact["map"] is None, "this protocol has no mAP"
    for draw in ("shared", "per_query"):
        drawn = score(path, "cuhk03_classic", options=Options(sampling=Sampling(draw, 4000)))
        assert drawn["rank1"] == pytest.approx(exact["rank1"], abs=0.03)
        assert drawn["repeats"] == 4000


@pytest.mark.parametrize("pool", ["mean", "max"])
def test_multi_query_is_the_score_of_the_pooled_features(tmp_path, pool):
    plain = arrays()
    np.savez(tmp_path / "single.npz", **plain)
    pairs = plain["query_feature"].reshape(5, 2, 4)
    pooled = {
        "query_feature": pairs.mean(1) if pool == "mean" else pairs.max(1),
        "query_person": np.arange(1, 6),
        "query_camera": np.ones(5, int),
    }
    np.savez(tmp_path / "pooled.npz", **{**plain, **pooled})
    result = score(tmp_path / "single.npz", options=Options(pool=pool))
    expected = score(tmp_path / "pooled.npz")
    assert (result["rank1"], result["map"]) == pytest.approx((expected["rank1"], expected["map"]))
    assert result["queries"] == 5
    assert result["query_pooling"] == pool


def test_reranking_says_so_and_changes_the_order(tmp_path):
    path = tmp_path / "a.npz"
    np.savez(path, **arrays(3))
    plain, better = score(path), score(path, options=Options(rerank=True))
    assert (plain["reranked"], better["reranked"]) == (False, True)
    assert better["queries"] == plain["queries"] == 10
    assert better["map"] != plain["map"]
