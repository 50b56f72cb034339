"""Single gallery shot against hand-worked cases and the enumeration of all draws by plain loops."""

import itertools
import json
import math

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from reid.evaluation import distances, metrics, single_shot_curves
from reid.evaluation.single_shot import (
    pool_queries,
    single_gallery_shot,
    single_gallery_shot_distance,
)
from reid.evaluation.single_shot_curves import poisson_binomial
from reid.project.errors import ReidError

RULES = ("same_person_same_camera", "same_camera", "none")
RANKS = (1, 2, 3, 4)


def visible(person, camera, gallery_person, gallery_camera, rule, junk=(-1,)):
    """The gallery indices a query sees, by person."""
    seen = {}
    for index, (other, there) in enumerate(zip(gallery_person, gallery_camera, strict=True)):
        hidden = {
            "same_person_same_camera": other == person and there == camera,
            "same_camera": there == camera,
            "none": False,
        }[rule]
        if not hidden and other not in junk:
            seen.setdefault(int(other), []).append(index)
    return seen


def rank_of(row, drawn, person):
    """Rank of the person's drawn image among one drawn image a person, {person: index}."""
    order = sorted(sorted(drawn.values()), key=lambda index: row[index])
    return 1 + order.index(drawn[person])


def enumerated(distance, qp, qc, gp, gc, rule, length):
    """(CMC, queries): mean over every draw of every query; all draws are equally likely."""
    curves = []
    for row, person, camera in zip(distance, qp, qc, strict=True):
        seen = visible(person, camera, gp, gc, rule)
        if person not in seen:
            continue
        draws = [
            dict(zip(seen, images, strict=True)) for images in itertools.product(*seen.values())
        ]
        found = [rank_of(row, drawn, person) for drawn in draws]
        curves.append([sum(r <= k for r in found) / len(found) for k in range(1, length + 1)])
    return (np.mean(curves, axis=0) if curves else None), len(curves)


@st.composite
def problems(draw):
    """Tiny: few levels of distance (ties everywhere), 5 persons of which one is junk."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    q, g = rng.integers(1, 5), rng.integers(1, 13)
    distance = rng.integers(0, draw(st.sampled_from([2, 4, 50])), (q, g)).astype(np.float32)
    labels = rng.integers(0, 4, q), rng.integers(0, 3, q)
    return distance, *labels, rng.integers(-1, 4, g), rng.integers(0, 3, g)


@pytest.mark.parametrize("rule", RULES)
@given(problem=problems())
@settings(deadline=None, derandomize=True, max_examples=80)
def test_expectation_equals_all_draws(rule, problem):
    assume((problem[3] >= 0).any())
    wanted, queries = enumerated(*problem, rule, 4)
    assume(queries)
    result = single_gallery_shot_distance(*problem, exclude=rule, ranks=RANKS)
    np.testing.assert_allclose(result.cmc, wanted, rtol=0, atol=1e-12)
    assert result.queries == queries
    assert result.queries_without_match == len(problem[1]) - queries


def test_by_hand():
    # Person 1 at 2 and 6, person 2 at 1 and 7, person 3 at 5. Drawn at 2: person 2 is ahead in
    # half of the draws. Drawn at 6: person 3 is ahead, and person 2 in half of the draws.
    distance = np.array([[2.0, 6, 1, 7, 5]])
    labels = [1], [0], [1, 1, 2, 2, 3], [1] * 5
    result = single_gallery_shot_distance(distance, *labels, ranks=(1, 2, 3))
    assert result.cmc.tolist() == [0.25, 0.75, 1.0]


def test_of_equals_the_earlier_is_first():
    labels = [1], [0], [2, 1, 3], [1] * 3
    result = single_gallery_shot_distance(np.zeros((1, 3)), *labels, ranks=(1, 2, 3))
    assert result.cmc.tolist() == [0, 1, 1]


@pytest.mark.parametrize("draw", ["shared", "per_query", "expected"])
@pytest.mark.parametrize(
    ("rule", "rank1", "rank2"),
    [
        pytest.param("same_camera", 1, 1, id="other persons of the camera are hidden"),
        pytest.param("same_person_same_camera", 0, 1, id="only the own person is hidden"),
    ],
)
def test_what_a_query_sees(draw, rule, rank1, rank2):
    # Own camera 0: the own image at 0, another person at 1. Camera 1: the match at 2.
    labels = [7], [0], [7, 8, 7], [0, 0, 1]
    distance = np.array([[0.0, 1, 2]])
    result = single_gallery_shot_distance(
        distance, *labels, exclude=rule, draw=draw, repeats=40, ranks=(1, 2)
    )
    assert result.cmc.tolist() == [rank1, rank2]


def made(seed=3, persons=30, images=4, queries=40, cameras=3):
    """Features with overlapping persons, and their labels."""
    rng = np.random.default_rng(seed)
    centre = rng.normal(size=(persons, 8))
    gallery_person = np.repeat(np.arange(persons), images)
    query_person = np.arange(queries) % persons
    return (
        centre[query_person] + 0.8 * rng.normal(size=(queries, 8)),
        query_person,
        rng.integers(0, cameras, queries),
        centre[gallery_person] + 0.8 * rng.normal(size=(len(gallery_person), 8)),
        gallery_person,
        rng.integers(0, cameras, len(gallery_person)),
    )


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("draw", ["shared", "per_query"])
def test_10000_repeats_come_near_the_expectation(draw, rule):
    problem = made()
    exact = single_gallery_shot(*problem, exclude=rule)
    found = single_gallery_shot(*problem, exclude=rule, draw=draw, repeats=10_000)
    assert 0.2 < exact.rank1 < 0.9
    assert found.cmc_deviation is not None
    error = found.cmc_deviation / math.sqrt(10_000)
    assert (np.abs(found.cmc - exact.cmc) <= 4.5 * error + 1e-12).all()
    assert error[0] < 0.001


def test_deviation_of_draws_per_query_is_binomial():
    # Independent queries that hit with probability P: variance of their mean, sum P(1 - P) / Q^2.
    problem = made()
    single = [
        single_gallery_shot(*(part[[q]] for part in problem[:3]), *problem[3:], exclude="none")
        for q in range(40)
    ]
    chance = np.array([one.cmc for one in single])  # (Q, K)
    wanted = np.sqrt((chance * (1 - chance)).sum(0)) / 40
    found = single_gallery_shot(*problem, exclude="none", draw="per_query", repeats=10_000)
    np.testing.assert_allclose(found.cmc_deviation, wanted, rtol=0.05, atol=1e-4)


@pytest.mark.parametrize("rule", RULES)
def test_deviation_of_shared_draws_is_that_of_all_shared_draws(rule):
    # A shared draw orders each person's images once; a query is shown the first that it sees.
    rng = np.random.default_rng(8)
    gp, gc = np.array([0, 0, 1, 1, 1, 2, 2]), np.array([0, 1, 0, 1, 2, 1, 2])
    qp, qc = np.array([0, 0, 1, 2, 2, 1]), np.array([0, 2, 0, 0, 1, 1])
    distance = rng.random((6, 7))
    orders = [itertools.permutations(np.flatnonzero(gp == person).tolist()) for person in range(3)]
    curves = []
    for shuffled in itertools.product(*orders):
        hits = np.zeros(4)
        for row, person, camera in zip(distance, qp, qc, strict=True):
            seen = visible(person, camera, gp, gc, rule)
            drawn = {p: next(i for i in shuffled[p] if i in seen[p]) for p in seen}
            hits[rank_of(row, drawn, person) - 1 :] += 1
        curves.append(hits / 6)
    found = single_gallery_shot_distance(
        distance, qp, qc, gp, gc, exclude=rule, draw="shared", repeats=10_000, ranks=RANKS
    )
    exact = single_gallery_shot_distance(distance, qp, qc, gp, gc, exclude=rule, ranks=RANKS)
    np.testing.assert_allclose(exact.cmc, np.mean(curves, axis=0), rtol=0, atol=1e-12)
    np.testing.assert_allclose(found.cmc_deviation, np.std(curves, axis=0), rtol=0.05, atol=1e-12)
    np.testing.assert_allclose(found.cmc, exact.cmc, atol=0.01)


def test_equal_queries_share_a_draw_or_have_their_own():
    # The match is ahead of the other person in half of the draws.
    labels = [1] * 50, [0] * 50, [1, 2, 2], [1] * 3
    distance = np.tile([2.0, 1, 3], (50, 1))
    shared = single_gallery_shot_distance(distance, *labels, draw="shared", ranks=(1,))
    own = single_gallery_shot_distance(distance, *labels, draw="per_query", ranks=(1,))
    assert shared.cmc_deviation == pytest.approx([0.5], abs=0.02)  # all hit, or none
    assert own.cmc_deviation == pytest.approx([0.5 / math.sqrt(50)], rel=0.3)


def test_deviation_of_two_repeats_divides_by_one():
    labels = [1], [0], [1, 2, 2], [1] * 3
    found = [
        single_gallery_shot_distance(
            np.array([[2.0, 1, 3]]), *labels, draw="shared", repeats=2, ranks=(1,), seed=seed
        )
        for seed in range(20)
    ]
    pairs = {(one.rank1, round(float(one.cmc_deviation[0]), 6)) for one in found}
    assert pairs == {(0.0, 0.0), (0.5, 0.707107), (1.0, 0.0)}  # one hit in two: sqrt(1/2)


@pytest.mark.parametrize("draw", ["shared", "per_query", "expected"])
def test_one_image_a_person_is_the_plain_cmc(draw):
    problem = made(images=1)
    plain = metrics.evaluate(*problem, exclude="same_camera")
    found = single_gallery_shot(*problem, draw=draw)
    np.testing.assert_allclose(found.cmc, plain.cmc[:20], rtol=0, atol=1e-12)
    assert (found.queries, found.queries_without_match) == (
        plain.queries,
        plain.queries_without_match,
    )
    if draw != "expected":
        np.testing.assert_allclose(found.cmc_deviation, 0, atol=1e-12)


@pytest.mark.parametrize("draw", ["shared", "per_query"])
def test_seed_decides_and_blocks_do_not(draw, monkeypatch):
    problem = made()
    first = single_gallery_shot(*problem, draw=draw, repeats=30, seed=1)
    other = single_gallery_shot(*problem, draw=draw, repeats=30, seed=2)
    monkeypatch.setattr(single_shot_curves, "REPEATS_AT_A_TIME", 7)
    again = single_gallery_shot(*problem, draw=draw, repeats=30, seed=1)
    assert first.as_dict() == again.as_dict()
    assert first.cmc.tolist() != other.cmc.tolist()


def test_pairs_at_a_time_do_not_matter(monkeypatch):
    problem = made()
    whole = single_gallery_shot(*problem)
    monkeypatch.setattr(single_shot_curves, "PAIRS_AT_A_TIME", 1)
    np.testing.assert_allclose(single_gallery_shot(*problem).cmc, whole.cmc, rtol=0, atol=1e-13)


def test_poisson_binomial_by_enumeration():
    probability = np.array([[0.5, 0.2, 0.0, 1.0], [0.1, 0.9, 0.3, 0.6]])
    wanted = np.zeros((2, 5))
    for row, chances in enumerate(probability):
        for outcome in itertools.product([0, 1], repeat=4):
            chance = math.prod(
                p if success else 1 - p for p, success in zip(chances, outcome, strict=True)
            )
            wanted[row, sum(outcome)] += chance
    np.testing.assert_allclose(poisson_binomial(probability, 5), wanted, rtol=0, atol=1e-15)
    np.testing.assert_allclose(poisson_binomial(probability, 2), wanted[:, :2], rtol=0, atol=1e-15)
    product = (1 - probability).prod(1, keepdims=True)
    np.testing.assert_allclose(poisson_binomial(probability, 1), product, rtol=0, atol=1e-15)


def test_result_says_what_was_done():
    sampled = single_gallery_shot(*made(), draw="shared", repeats=5, seed=4, ranks=(1, 3))
    found = json.loads(json.dumps(sampled.as_dict()))
    assert sampled.map is None
    assert found["map"] is None
    assert found["rank1_deviation"] == pytest.approx(sampled.cmc_deviation[0])
    named = {key: found[key] for key in ("draw", "repeats", "seed", "exclude", "distance")}
    assert named == {
        "draw": "shared",
        "repeats": 5,
        "seed": 4,
        "exclude": "same_camera",
        "distance": "cosine",
    }
    assert found["queries"] + found["queries_without_match"] == 40
    assert (found["persons"], found["gallery"], len(found["cmc"])) == (30, 120, 3)
    with pytest.raises(ReidError, match="ranks 1 to 3"):
        sampled.rank(5)
    expected = single_gallery_shot(*made()).as_dict()
    assert (expected["repeats"], expected["seed"], expected["rank1_deviation"]) == (None,) * 3
    assert single_gallery_shot(*made(), draw="shared", repeats=1).cmc_deviation is None


def test_torch_features_and_blocks_of_distances():
    torch = pytest.importorskip("torch")
    query, *labels, gallery, person, camera = made()
    plain = single_gallery_shot(query, *labels, gallery, person, camera)
    tensors = torch.from_numpy(query), *labels, torch.from_numpy(gallery), person, camera
    assert single_gallery_shot(*tensors).as_dict() == plain.as_dict()
    blocks = distances.distance_blocks(np.float32(query), np.float32(gallery))
    given_blocks = single_gallery_shot_distance(blocks, *labels, person, camera)
    assert given_blocks.cmc.tolist() == plain.cmc.tolist()
    assert given_blocks.distance == "given"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        pytest.param({"draw": "some"}, "draw: no `some`", id="draw"),
        pytest.param({"exclude": "some"}, "exclude: no `some`", id="exclude"),
        pytest.param({"distance": "some"}, "distance: no `some`", id="distance"),
        pytest.param({"repeats": 0, "draw": "shared"}, "repeats: 0", id="repeats"),
        pytest.param({"ranks": (0, 1)}, "whole numbers from 1", id="rank zero"),
        pytest.param({"ranks": ()}, "whole numbers from 1", id="no ranks"),
        pytest.param({"junk": range(30)}, "nothing is left", id="all junk"),
    ],
)
def test_what_is_refused(change, message):
    with pytest.raises(ReidError, match=message):
        single_gallery_shot(*made(), **change)


@pytest.mark.parametrize("draw", ["shared", "per_query", "expected"])
def test_no_match_at_all_is_refused(draw):
    with pytest.raises(ReidError, match="no query has a match"):  # one camera: nothing in sight
        single_gallery_shot_distance(np.zeros((1, 2)), [1], [0], [1, 2], [0, 0], draw=draw)


def test_nan_and_wrong_shape_are_refused():
    labels = [1], [0], [1, 2], [1, 1]
    with pytest.raises(ReidError, match="row 0 has NaN"):
        single_gallery_shot_distance(np.array([[0, np.nan]]), *labels)
    with pytest.raises(ReidError, match="must be"):
        single_gallery_shot_distance(np.zeros((1, 3)), *labels)


@pytest.mark.parametrize(
    ("rule", "first"),
    [pytest.param("mean", [2, 3], id="mean"), pytest.param("max", [3, 6], id="max")],
)
def test_pool_queries(rule, first):
    feature = [[9, 9], [1, 6], [5, -5], [3, 0]]
    pooled, person, camera = pool_queries(np.array(feature), [2, 1, 1, 1], [0, 1, 2, 1], rule)
    assert pooled.tolist() == [first, [5, -5], [9, 9]]
    assert pooled.dtype == np.float32
    assert (person.tolist(), camera.tolist()) == ([1, 1, 2], [1, 2, 0])


def test_pool_queries_against_loops():
    feature, person, camera, *_ = made(queries=90, persons=7)
    keys = sorted({(int(p), int(c)) for p, c in zip(person, camera, strict=True)})
    for rule, reduce in (("mean", np.mean), ("max", np.max)):
        pooled, persons, cameras = pool_queries(feature, person, camera, rule)
        assert list(zip(persons.tolist(), cameras.tolist(), strict=True)) == keys
        for row, (p, c) in zip(pooled, keys, strict=True):
            members = feature[(person == p) & (camera == c)]
            np.testing.assert_allclose(row, reduce(members, axis=0), rtol=1e-6, atol=1e-6)


def test_pool_queries_refuses():
    with pytest.raises(ReidError, match="rule: no `median`"):
        pool_queries(np.zeros((1, 2)), [1], [1], "median")
    with pytest.raises(ReidError, match="3 rows for 2"):
        pool_queries(np.zeros((3, 2)), [1, 1], [1, 1])
