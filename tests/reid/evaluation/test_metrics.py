"""CMC, mAP and mINP against values worked by hand and a reference of plain loops."""

import json
import math

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from reid.evaluation import distances, metrics
from reid.project.errors import ReidError

RULES = ("same_person_same_camera", "same_camera", "none")


def ranking(row, person, camera, gallery_person, gallery_camera, junk, rule):
    """The kept gallery indices of one query, nearest first, by the definition."""
    seen = []
    for index in range(len(row)):
        same_person, same_camera = gallery_person[index] == person, gallery_camera[index] == camera
        hidden = {
            "same_person_same_camera": same_person and same_camera,
            "same_camera": same_camera,
            "none": False,
        }[rule]
        if gallery_person[index] not in junk and not hidden:
            seen.append(index)
    return sorted(seen, key=lambda index: row[index])  # sorted() is stable


def reference(distance, qp, qc, gp, gc, junk=(-1,), rule="same_person_same_camera"):
    """Everything by one walk down each ranking; None where no query has a match."""
    rectangle, trapezoid, minp, first, chance = [], [], [], [], []
    for row, person, camera in zip(distance, qp, qc, strict=True):
        order = ranking(row, person, camera, gp, gc, junk, rule)
        wanted = sum(gp[index] == person for index in order)
        if not wanted:
            continue
        hits, old_recall, old_precision, area, precisions, last = 0, 0.0, 1.0, 0.0, [], 0
        for place, index in enumerate(order, 1):
            hit = gp[index] == person
            hits += hit
            recall, precision = hits / wanted, hits / place
            area += (recall - old_recall) * (old_precision + precision) / 2
            old_recall, old_precision = recall, precision
            if hit:
                precisions.append(precision)
                last = place
                if hits == 1:
                    first.append(place)
        rectangle.append(sum(precisions) / wanted)
        trapezoid.append(area)
        minp.append(wanted / last)
        chance.append(wanted / len(order))
    if not first:
        return None
    cmc = [sum(f <= k for f in first) / len(first) for k in range(1, 51)]
    mean = {"map_rectangle": rectangle, "map_trapezoid": trapezoid, "minp": minp}
    return {
        **{name: sum(values) / len(values) for name, values in mean.items()},
        "chance_rank1": sum(chance) / len(chance),
        "cmc": cmc,
        "queries": len(first),
    }


def assert_same(result, wanted, within=1e-12):
    found = result.as_dict()
    for name, value in wanted.items():
        if isinstance(value, str):
            assert found[name] == value
        else:
            assert found[name] == pytest.approx(value, abs=within), name


@st.composite
def problems(draw, levels=5, queries=7, gallery=40, persons=4):
    """Distances of few levels (ties everywhere) and labels with junk, distractors and no match."""
    seed = draw(st.integers(0, 2**32 - 1))
    rng = np.random.default_rng(seed)
    q, g = draw(st.integers(1, queries)), draw(st.integers(1, gallery))
    distance = rng.integers(0, draw(st.integers(1, levels)), (q, g)).astype(np.float32) - 2
    qp, gp = rng.integers(1, persons, q), rng.integers(-1, persons, g)
    return distance, qp, rng.integers(0, 3, q), gp, rng.integers(0, 3, g)


@pytest.mark.parametrize("few", [0, 3, 64], ids=["binary search", "mixed", "counting"])
@pytest.mark.parametrize("rule", RULES)
@given(problem=problems())
@settings(deadline=None, derandomize=True, max_examples=60)
def test_equals_plain_loops_with_ties(few, rule, problem):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("reid.evaluation.ranks.FEW", few)
        wanted = reference(*problem, rule=rule)
        if wanted is None:
            with pytest.raises(ReidError, match=r"^gallery: "):
                metrics.evaluate_distance(*problem, exclude=rule)
        else:
            assert_same(metrics.evaluate_distance(*problem, exclude=rule), wanted)


@given(problem=problems(queries=20))
@settings(deadline=None, derandomize=True, max_examples=40)
def test_blocks_and_types_give_the_same(problem):
    distance, *labels = problem
    assume(reference(distance, *labels) is not None)
    whole = metrics.evaluate_distance(distance, *labels).as_dict()
    blocks = (distance[start : start + 3] for start in range(0, len(distance), 3))
    assert metrics.evaluate_distance(blocks, *labels).as_dict() == whole
    columns = np.asfortranarray(distance.astype(np.float64))
    assert metrics.evaluate_distance(columns, *labels).as_dict() == whole


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
    gallery_person = np.array([7 if place in matches_at else 8 for place in range(1, 6)])
    result = metrics.evaluate_distance(
        np.arange(5.0)[None], [7], [1], gallery_person, np.full(5, 2), average_precision="trapezoid"
    )
    assert result.map_rectangle == pytest.approx(rectangle)
    assert result.map == result.map_trapezoid == pytest.approx(trapezoid)
    assert result.minp == pytest.approx(minp)
    assert result.chance_rank1 == pytest.approx(len(matches_at) / 5)
    assert result.query_first_rank.tolist() == [matches_at[0]]
    assert result.rank1 == (matches_at[0] == 1)


def test_junk_and_own_camera_are_not_in_the_ranking_and_distractors_are():
    person = np.array([-1, 7, 0, 7, -1, 8])
    camera = np.array([2, 1, 2, 2, 3, 2])
    result = metrics.evaluate_distance(np.arange(6.0)[None], [7], [1], person, camera)
    assert result.query_first_rank.tolist() == [2]  # behind the distractor alone
    assert (result.gallery, result.junk_dropped) == (4, 2)
    assert result.chance_rank1 == pytest.approx(1 / 3)


def test_ties_keep_the_order_of_the_gallery():
    for place in range(4):
        person = np.full(4, 8)
        person[place] = 7
        result = metrics.evaluate_distance(np.zeros((1, 4)), [7], [1], person, np.full(4, 2))
        assert result.query_first_rank.tolist() == [place + 1]


def test_queries_without_a_match_do_not_count():
    result = metrics.evaluate_distance(
        np.array([[0.0, 1.0], [0.0, 1.0]]), [7, 9], [1, 1], [7, 8], [2, 2]
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
    return qf, qp, rng.integers(1, 4, queries), gf, gp, rng.integers(1, 4, gallery)


@pytest.mark.parametrize("distance", distances.DISTANCES)
def test_features_equal_loops_over_their_distances(distance):
    qf, qp, qc, gf, gp, gc = scene()
    if distance == "cosine":
        unit = [f / np.linalg.norm(f, axis=1, keepdims=True) for f in (qf, gf)]
        matrix = 1 - unit[0] @ unit[1].T
    else:
        matrix = np.array([[((q - g) ** 2).sum() ** 0.5 for g in gf] for q in qf])
    result = metrics.evaluate(qf, qp, qc, gf, gp, gc, distance=distance)
    wanted = reference(matrix, qp, qc, gp, gc)
    assert result.as_dict()["cmc"] == pytest.approx(wanted["cmc"])
    assert result.map == pytest.approx(wanted["map_rectangle"], abs=1e-5)  # float32 against float64
    assert result.chance_rank1 < result.rank1


@pytest.mark.parametrize("distance", distances.DISTANCES)
@pytest.mark.parametrize("chunk", [1, 7, 128, 1000])
def test_no_chunk_changes_a_bit(distance, chunk):
    qf, _, _, gf, _, _ = scene(queries=300)
    qf, gf = qf.astype(np.float32), gf.astype(np.float32)
    wanted = np.concatenate(list(distances.distance_blocks(qf, gf, distance)))
    found = np.concatenate(list(distances.distance_blocks(qf, gf, distance, chunk=chunk)))
    assert np.array_equal(found, wanted)
    assert found.shape == (300, 300)


def test_euclidean_holds_far_from_the_origin():
    qf, qp, qc, gf, gp, gc = scene()
    near = metrics.evaluate(qf, qp, qc, gf, gp, gc, distance="euclidean")
    far = metrics.evaluate(qf + 100, qp, qc, gf + 100, gp, gc, distance="euclidean")
    assert far.map == pytest.approx(near.map, abs=1e-3)


@pytest.mark.parametrize("rule", RULES)
def test_ranked_lists(rule):
    qf, qp, qc, gf, gp, gc = scene(queries=140, gallery=60)
    gf[30:] = gf[:30]  # ties
    listed = metrics.ranked(qf, qp, qc, gf, gp, gc, 50, exclude=rule, chunk=9)
    gallery = gf[gp != -1].astype(np.float32)
    matrix = np.full((140, 60), np.nan, np.float32)
    matrix[:, gp != -1] = np.concatenate(
        list(distances.distance_blocks(qf.astype(np.float32), gallery))
    )
    for query, row in enumerate(listed.tolist()):
        wanted = ranking(matrix[query], qp[query], qc[query], gp, gc, (-1,), rule)[:50]
        assert row == wanted + [-1] * (50 - len(wanted))


def test_json_and_more_ranks_than_the_curve_has():
    result = metrics.evaluate(*scene(), ranks=(1, 80))
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
        pytest.param({"query_camera": [1]}, "1 values for 2 persons", id="camera length"),
        pytest.param({"query_person": [1.5, 2]}, "must be whole numbers", id="label not whole"),
        pytest.param({"query_feature": np.full((2, 3), np.nan)}, "row 0 is not finite", id="NaN"),
        pytest.param(
            {"gallery_feature": [[1, 2, 3], [1, 2, 3], [1, np.inf, 3]]}, "row 2", id="inf"
        ),
        pytest.param({"gallery_person": [-1, -1, -1]}, "nothing is left", id="all junk"),
        pytest.param({"gallery_person": [5, 6, 7]}, "no query has a match", id="no match"),
        pytest.param({"distance": "manhattan"}, "no `manhattan`", id="distance"),
        pytest.param({"exclude": "all"}, "no `all`", id="rule"),
        pytest.param({"average_precision": "x"}, "no `x`", id="average precision"),
        pytest.param({"ranks": (0,)}, "from 1", id="rank zero"),
        pytest.param({"query_feature": [["a"] * 3] * 2}, "must be numbers", id="text"),
    ],
)
def test_errors(change, message):
    given = {
        "query_feature": np.eye(2, 3),
        "query_person": [1, 2],
        "query_camera": [1, 1],
        "gallery_feature": np.eye(3),
        "gallery_person": [1, 2, 3],
        "gallery_camera": [2, 2, 2],
    }
    with pytest.raises(ReidError) as error:
        metrics.evaluate(**{**given, **change})
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
        metrics.evaluate_distance(matrix, [1, 2], [1, 1], [1, 2, -1], [2, 2, 2])
    assert message in str(error.value)


def test_torch_tensors_give_the_same():
    torch = pytest.importorskip("torch")
    arrays = scene()
    tensors = [torch.from_numpy(array) for array in arrays]
    assert metrics.evaluate(*tensors).as_dict() == metrics.evaluate(*arrays).as_dict()


@pytest.mark.parametrize("distance", distances.DISTANCES)
@pytest.mark.parametrize("rule", RULES)
def test_torch_path_ranks_as_numpy_does(distance, rule):
    """`cpu:0` is not `cpu`: it names torch's device, so the device path runs without a GPU."""
    found = metrics.evaluate(*scene(), distance=distance, exclude=rule, device="cpu:0")
    wanted = metrics.evaluate(*scene(), distance=distance, exclude=rule)
    assert_same(found, wanted.as_dict(), within=1e-6)


@pytest.mark.gpu
@pytest.mark.parametrize("distance", distances.DISTANCES)
def test_cuda_ranks_as_numpy_does(distance):
    found = metrics.evaluate(*scene(), distance=distance, device="cuda")
    wanted = metrics.evaluate(*scene(), distance=distance)
    assert_same(found, wanted.as_dict(), within=1e-2)


def test_no_cuda_is_one_line():
    torch = pytest.importorskip("torch")
    if torch.cuda.is_available():
        pytest.skip("there is a CUDA device")
    with pytest.raises(ReidError, match="no CUDA device; use cpu"):
        metrics.evaluate(*scene(), device="cuda")
