"""CMC, mAP and mINP against values worked by hand and a reference of plain loops."""

import json
import math

import numpy as np
import pytest
from hypothesis import assume, given, settings

from reid.evaluation import distances, metrics
from reid.evaluation.distances import Comparison
from reid.evaluation.labels import Labels
from reid.evaluation.protocol import Protocol
from reid.project.errors import ReidError
from tests.reid.evaluation.reference import EXCLUDE, measured, problems, seen

MARKET = Protocol(junk=(-1,))


def assert_same(result, wanted, within=1e-12):
    written = result.as_dict()
    for name, value in wanted.items():
        if isinstance(value, str):
            assert written[name] == value
        else:
            assert written[name] == pytest.approx(value, abs=within), name


@pytest.mark.parametrize("exclude", EXCLUDE)
@given(problem=problems())
@settings(deadline=None, derandomize=True, max_examples=120)
def test_equals_plain_loops_with_ties(exclude, problem):
    distance, labels = problem
    protocol = Protocol(junk=(-1,), exclude=exclude)
    wanted = measured(distance, labels, exclude)
    if wanted is None:
        with pytest.raises(ReidError, match=r"^gallery: "):
            metrics.evaluate_distance(distance, labels, protocol)
    else:
        assert_same(metrics.evaluate_distance(distance, labels, protocol), wanted)


@given(problem=problems(queries=20))
@settings(deadline=None, derandomize=True, max_examples=40)
def test_blocks_and_types_give_the_same(problem):
    distance, labels = problem
    assume(measured(distance, labels, MARKET.exclude) is not None)
    whole = metrics.evaluate_distance(distance, labels, MARKET).as_dict()
    blocks = (distance[start : start + 3] for start in range(0, len(distance), 3))
    assert metrics.evaluate_distance(blocks, labels, MARKET).as_dict() == whole
    for other in (np.asfortranarray(distance.astype(np.float64)), distance.astype(np.int32)):
        assert metrics.evaluate_distance(other, labels, MARKET).as_dict() == whole


@pytest.mark.parametrize(
    ("matches_at", "rectangle", "trapezoid", "minp"),
    [
        pytest.param([1], 1.0, 1.0, 1.0, id="one match, first"),
        pytest.param([2], 0.5, 0.25, 0.5, id="one match, second"),
        pytest.param([1, 3], (1 + 2 / 3) / 2, (1 + (1 / 2 + 2 / 3) / 2) / 2, 2 / 3, id="1 and 3"),
        pytest.param([1, 2, 3], 1.0, 1.0, 1.0, id="perfect"),
        pytest.param(
            [2, 4], (1 / 2 + 2 / 4) / 2, (1 / 4 + (1 / 3 + 2 / 4) / 2) / 2, 0.5, id="2 and 4"
        ),
    ],
)
def test_by_hand(matches_at, rectangle, trapezoid, minp):
    gallery_person = np.array([7 if rank in matches_at else 8 for rank in range(1, 6)])
    labels = Labels.of([7], [1], gallery_person, np.full(5, 2))
    protocol = Protocol(average_precision="trapezoid")
    result = metrics.evaluate_distance(np.arange(5.0)[None], labels, protocol)
    assert result.map_rectangle == pytest.approx(rectangle)
    assert result.map == result.map_trapezoid == pytest.approx(trapezoid)
    assert result.minp == pytest.approx(minp)
    assert result.chance_rank1 == pytest.approx(len(matches_at) / 5)
    assert result.query_first_rank.tolist() == [matches_at[0]]
    assert result.rank1 == (matches_at[0] == 1)


def test_junk_and_own_camera_are_not_in_the_ranking_and_distractors_are():
    person = np.array([-1, 7, 0, 7, -1, 8])
    camera = np.array([2, 1, 2, 2, 3, 2])
    result = metrics.evaluate_distance(
        np.arange(6.0)[None], Labels.of([7], [1], person, camera), MARKET
    )
    assert result.query_first_rank.tolist() == [2]  # behind the distractor alone
    assert (result.gallery, result.junk_dropped) == (4, 2)
    assert result.chance_rank1 == pytest.approx(1 / 3)


def test_ties_keep_the_order_of_the_gallery():
    for position in range(4):
        person = np.full(4, 8)
        person[position] = 7
        labels = Labels.of([7], [1], person, np.full(4, 2))
        result = metrics.evaluate_distance(np.zeros((1, 4)), labels, MARKET)
        assert result.query_first_rank.tolist() == [position + 1]


def test_queries_without_a_match_do_not_count():
    result = metrics.evaluate_distance(
        np.array([[0.0, 1.0], [0.0, 1.0]]), Labels.of([7, 9], [1, 1], [7, 8], [2, 2]), MARKET
    )
    assert (result.queries, result.queries_without_match, result.rank1) == (1, 1, 1.0)
    assert math.isnan(result.query_average_precision[1])
    assert result.query_first_rank.tolist() == [1, 0]


def scene(seed=0, queries=150, gallery=300, dimensions=17):
    rng = np.random.default_rng(seed)
    qp, gp = rng.integers(1, 20, queries), rng.integers(-1, 20, gallery)
    centre = rng.normal(size=(21, dimensions))
    qf = centre[qp] + rng.normal(size=(queries, dimensions))
    gf = centre[gp] + rng.normal(size=(gallery, dimensions))
    query_camera, gallery_camera = rng.integers(1, 4, queries), rng.integers(1, 4, gallery)
    return qf, gf, Labels.of(qp, query_camera, gp, gallery_camera)


@pytest.mark.parametrize("distance", distances.DISTANCES)
def test_features_equal_loops_over_their_distances(distance):
    qf, gf, labels = scene()
    if distance == "cosine":
        unit = [f / np.linalg.norm(f, axis=1, keepdims=True) for f in (qf, gf)]
        matrix = 1 - unit[0] @ unit[1].T
    else:
        matrix = np.array([[((q - g) ** 2).sum() ** 0.5 for g in gf] for q in qf])
    result = metrics.evaluate(qf, gf, labels, MARKET, Comparison(distance))
    wanted = measured(matrix, labels, MARKET.exclude)
    assert wanted is not None
    assert result.as_dict()["cmc"] == pytest.approx(wanted["cmc"])
    assert result.map == pytest.approx(wanted["map_rectangle"], abs=1e-5)  # float32 against float64
    assert result.chance_rank1 < result.rank1


@pytest.mark.parametrize("distance", distances.DISTANCES)
@pytest.mark.parametrize("chunk", [1, 7, 128, 1000])
def test_no_chunk_changes_a_bit(distance, chunk):
    qf, gf, _ = scene(queries=300)
    qf, gf = qf.astype(np.float32), gf.astype(np.float32)
    wanted = np.concatenate(list(distances.distance_blocks(qf, gf, distance)))
    matrix = np.concatenate(list(distances.distance_blocks(qf, gf, distance, chunk=chunk)))
    assert np.array_equal(matrix, wanted)
    assert matrix.shape == (300, 300)


@pytest.mark.parametrize("distance", distances.DISTANCES)
def test_distances_of_parts_are_added_up(distance):
    query, gallery, _ = scene(queries=9, gallery=11, dimensions=12)
    summed = np.zeros((9, 11))
    for q, g in zip(np.split(query, 3, 1), np.split(gallery, 3, 1), strict=True):
        if distance == "cosine":
            units = [side / np.linalg.norm(side, axis=1, keepdims=True) for side in (q, g)]
            summed += 1 - units[0] @ units[1].T
        else:
            summed += np.linalg.norm(q[:, None] - g, axis=2)
    sides = (query.astype(np.float32), gallery.astype(np.float32), distance)
    (block,) = distances.distance_blocks(*sides, parts=3)
    np.testing.assert_allclose(block, summed, atol=1e-4)
    with pytest.raises(ReidError, match="12 dimensions are not 5 equal parts"):
        next(distances.distance_blocks(*sides, parts=5))


def test_euclidean_holds_far_from_the_origin():
    qf, gf, labels = scene()
    near = metrics.evaluate(qf, gf, labels, MARKET, Comparison("euclidean"))
    far = metrics.evaluate(qf + 100, gf + 100, labels, MARKET, Comparison("euclidean"))
    assert far.map == pytest.approx(near.map, abs=1e-3)


@pytest.mark.parametrize("exclude", EXCLUDE)
def test_ranked_lists(exclude):
    qf, gf, labels = scene(queries=140, gallery=60)
    gf[30:] = gf[:30]  # ties
    protocol, kept = Protocol(junk=(-1,), exclude=exclude), labels.gallery_person != -1
    listed = metrics.ranked(qf, gf, labels, 50, protocol, Comparison(chunk=9))
    matrix = np.full((140, 60), np.nan, np.float32)
    blocks = distances.distance_blocks(qf.astype(np.float32), gf[kept].astype(np.float32))
    matrix[:, kept] = np.concatenate(list(blocks))
    for query, row in enumerate(listed.tolist()):
        order = sorted(seen(labels, query, exclude), key=matrix[query].__getitem__)
        assert row == (order + [-1] * 60)[:50]


def test_json_and_more_ranks_than_the_curve_has():
    result = metrics.evaluate(*scene(), MARKET, ranks=(1, 80))
    assert len(result.cmc) == 80
    assert json.loads(json.dumps(result.as_dict()))["rank80"] == result.rank(80)
    assert result.rank(1000) == result.cmc[-1]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        pytest.param(
            {"query_feature": np.zeros((2, 3, 1))}, "must be (images, dimensions)", id="3d"
        ),
        pytest.param(
            {"query_feature": np.zeros((2, 4))}, "query has 4 dimensions", id="dimensions"
        ),
        pytest.param({"gallery_feature": np.zeros((2, 3))}, "2 rows for 3 of", id="length"),
        pytest.param(
            {"labels": ([1, 2], [1], [1, 2, 3], [2, 2, 2])},
            "1 values for 2 persons",
            id="camera length",
        ),
        pytest.param(
            {"labels": ([1.5, 2], [1, 1], [1, 2, 3], [2, 2, 2])},
            "must be whole numbers",
            id="label not whole",
        ),
        pytest.param({"query_feature": np.full((2, 3), np.nan)}, "row 0 is not finite", id="NaN"),
        pytest.param(
            {"gallery_feature": [[1, 2, 3], [1, 2, 3], [1, np.inf, 3]]}, "row 2", id="inf"
        ),
        pytest.param(
            {"labels": ([1, 2], [1, 1], [-1, -1, -1], [2, 2, 2])}, "nothing is left", id="all junk"
        ),
        pytest.param(
            {"labels": ([1, 2], [1, 1], [5, 6, 7], [2, 2, 2])},
            "no query has a match",
            id="no match",
        ),
        pytest.param({"comparison": Comparison("manhattan")}, "no `manhattan`", id="distance"),
        pytest.param({"protocol": {"exclude": "all"}}, "no `all`", id="exclude"),
        pytest.param({"protocol": {"average_precision": "x"}}, "no `x`", id="average precision"),
        pytest.param({"ranks": (0,)}, "from 1", id="rank zero"),
        pytest.param({"query_feature": [["a"] * 3] * 2}, "must be numbers", id="text"),
    ],
)
def test_errors(change, message):
    arguments = {
        "query_feature": np.eye(2, 3),
        "gallery_feature": np.eye(3),
        "labels": ([1, 2], [1, 1], [1, 2, 3], [2, 2, 2]),
        "comparison": Comparison(),
    }
    arguments.update({"protocol": {}, "ranks": (1,), **change})
    query, gallery = arguments["query_feature"], arguments["gallery_feature"]
    with pytest.raises(ReidError) as error:
        metrics.evaluate(
            query, gallery, Labels.of(*arguments["labels"]),
            Protocol(**{"junk": (-1,), **arguments["protocol"]}), arguments["comparison"],
            arguments["ranks"],
        )  # fmt: skip
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("matrix", "message"),
    [
        pytest.param(np.zeros((2, 4)), "must be (queries, 3)", id="columns"),
        pytest.param(np.zeros((3, 3)), "more rows", id="too many rows"),
        pytest.param(np.zeros((1, 3)), "1 rows for 2", id="too few rows"),
        pytest.param(np.array([[0, 0, 0], [0, np.nan, 0]]), "row 1 has NaN", id="NaN"),
    ],
)
def test_distance_errors(matrix, message):
    with pytest.raises(ReidError) as error:
        metrics.evaluate_distance(matrix, Labels.of([1, 2], [1, 1], [1, 2, -1], [2, 2, 2]), MARKET)
    assert message in str(error.value)


def test_torch_tensors_give_the_same():
    torch = pytest.importorskip("torch")
    query, gallery, labels = scene()
    own = (labels.query_person, labels.query_camera, labels.gallery_person, labels.gallery_camera)
    tensors = [torch.from_numpy(array) for array in (query, gallery, *own)]
    result = metrics.evaluate(*tensors[:2], Labels.of(*tensors[2:]), MARKET)
    assert result.as_dict() == metrics.evaluate(query, gallery, labels, MARKET).as_dict()


@pytest.mark.parametrize("distance", distances.DISTANCES)
@pytest.mark.parametrize("exclude", EXCLUDE)
@pytest.mark.parametrize(
    ("device", "within"),
    [  # `cpu:0` is not `cpu`: it names torch's device, so the device path runs without a GPU
        pytest.param("cpu:0", 1e-6, id="torch on the CPU"),
        pytest.param("cuda", 1e-2, id="cuda", marks=pytest.mark.gpu),
    ],
)
def test_torch_ranks_as_numpy_does(device, within, exclude, distance):
    protocol = Protocol(junk=(-1,), exclude=exclude)
    on_device = metrics.evaluate(*scene(), protocol, Comparison(distance, device=device))
    wanted = metrics.evaluate(*scene(), protocol, Comparison(distance))
    assert_same(on_device, wanted.as_dict(), within)


def test_no_cuda_is_one_line():
    torch = pytest.importorskip("torch")
    if torch.cuda.is_available():
        pytest.skip("there is a CUDA device")
    with pytest.raises(ReidError, match="no CUDA device; use cpu"):
        metrics.evaluate(*scene(), MARKET, Comparison(device="cuda"))
