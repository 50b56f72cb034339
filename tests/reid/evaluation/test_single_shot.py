"""Single gallery shot against hand-worked cases and the enumeration of all draws by plain loops."""

import itertools
import json
import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import assume, given, settings

from reid.evaluation import distances, metrics, single_shot_curves
from reid.evaluation.labels import Labels
from reid.evaluation.protocol import Protocol
from reid.evaluation.single_shot import single_gallery_shot, single_gallery_shot_distance
from reid.evaluation.single_shot_curves import Sampling, poisson_binomial
from reid.project.errors import ReidError
from tests.reid.evaluation.reference import EXCLUDE, problems, seen

RANKS = (1, 2, 3, 4)
CLASSIC = Protocol(junk=(-1,), exclude="same_camera")


def by_person(labels, query, exclude):
    """The gallery indices a query sees, by person."""
    images = {}
    for index in seen(labels, query, exclude):
        images.setdefault(int(labels.gallery_person[index]), []).append(index)
    return images


def rank_of(row, drawn, person):
    """Rank of the person's drawn image among one drawn image a person, {person: index}."""
    order = sorted(sorted(drawn.values()), key=lambda index: row[index])
    return 1 + order.index(drawn[person])


def enumerated(distance, labels, exclude, length):
    """(CMC, queries): mean over every draw of every query; all draws are equally likely."""
    curves = []
    for query, row in enumerate(distance):
        person, images = int(labels.query_person[query]), by_person(labels, query, exclude)
        if person not in images:
            continue
        draws = itertools.product(*images.values())
        ranks = [rank_of(row, dict(zip(images, drawn, strict=True)), person) for drawn in draws]
        curves.append([sum(rank <= k for rank in ranks) / len(ranks) for k in range(1, length + 1)])
    return (np.mean(curves, axis=0) if curves else None), len(curves)


@pytest.mark.parametrize("exclude", EXCLUDE)
@given(problem=problems(queries=4, gallery=12, persons=4))
@settings(deadline=None, derandomize=True, max_examples=80)
def test_expectation_equals_all_draws(exclude, problem):
    distance, labels = problem
    assume((labels.gallery_person >= 0).any())
    wanted, queries = enumerated(distance, labels, exclude, 4)
    assume(queries)
    protocol = Protocol(junk=(-1,), exclude=exclude)
    result = single_gallery_shot_distance(distance, labels, protocol, Sampling(ranks=RANKS))
    np.testing.assert_allclose(result.cmc, wanted, rtol=0, atol=1e-12)
    assert result.queries == queries
    assert result.queries_without_match == len(distance) - queries


def test_by_hand():
    # Person 1 at 2 and 6, person 2 at 1 and 7, person 3 at 5. Drawn at 2: person 2 is ahead in
    # half of the draws. Drawn at 6: person 3 is ahead, and person 2 in half of the draws.
    distance = np.array([[2.0, 6, 1, 7, 5]])
    labels = Labels.of([1], [0], [1, 1, 2, 2, 3], [1] * 5)
    result = single_gallery_shot_distance(distance, labels, CLASSIC, Sampling(ranks=(1, 2, 3)))
    assert result.cmc.tolist() == [0.25, 0.75, 1.0]


def test_of_equals_the_earlier_is_first():
    labels, sampling = Labels.of([1], [0], [2, 1, 3], [1] * 3), Sampling(ranks=(1, 2, 3))
    result = single_gallery_shot_distance(np.zeros((1, 3)), labels, CLASSIC, sampling)
    assert result.cmc.tolist() == [0, 1, 1]


@pytest.mark.parametrize("draw", ["shared", "per_query", "expected"])
@pytest.mark.parametrize(
    ("exclude", "rank1", "rank2"),
    [
        pytest.param("same_camera", 1, 1, id="other persons of the camera are hidden"),
        pytest.param("same_person_same_camera", 0, 1, id="only the own person is hidden"),
    ],
)
def test_what_a_query_sees(draw, exclude, rank1, rank2):
    # Own camera 0: the own image at 0, another person at 1. Camera 1: the match at 2.
    labels = Labels.of([7], [0], [7, 8, 7], [0, 0, 1])
    distance = np.array([[0.0, 1, 2]])
    result = single_gallery_shot_distance(
        distance, labels, Protocol(exclude=exclude), Sampling(draw, 40, ranks=(1, 2))
    )
    assert result.cmc.tolist() == [rank1, rank2]


def scene(seed=3, persons=30, images=4, queries=40, cameras=3):
    """Features with overlapping persons, and their labels."""
    rng = np.random.default_rng(seed)
    centre = rng.normal(size=(persons, 8))
    gallery_person = np.repeat(np.arange(persons), images)
    query_person = np.arange(queries) % persons
    query = centre[query_person] + 0.8 * rng.normal(size=(queries, 8))
    query_camera = rng.integers(0, cameras, queries)
    gallery = centre[gallery_person] + 0.8 * rng.normal(size=(len(gallery_person), 8))
    gallery_camera = rng.integers(0, cameras, len(gallery_person))
    return query, gallery, Labels.of(query_person, query_camera, gallery_person, gallery_camera)


def shot(draw="expected", protocol=CLASSIC, problem=None, **sampling):
    """The result of `scene` features."""
    sampling = Sampling(draw, **sampling)
    return single_gallery_shot(*(problem or scene()), protocol, sampling=sampling)


@pytest.mark.parametrize("exclude", EXCLUDE)
@pytest.mark.parametrize("draw", ["shared", "per_query"])
def test_10000_repeats_come_near_the_expectation(draw, exclude):
    protocol = Protocol(exclude=exclude)
    exact, drawn = shot(protocol=protocol), shot(draw, protocol, repeats=10_000)
    assert 0.2 < exact.rank1 < 0.9
    assert drawn.cmc_deviation is not None
    error = drawn.cmc_deviation / math.sqrt(10_000)
    assert (np.abs(drawn.cmc - exact.cmc) <= 4.5 * error + 1e-12).all()
    assert error[0] < 0.001


def test_deviation_of_draws_per_query_is_binomial():
    # Independent queries that hit with probability P: variance of their mean, sum P(1 - P) / Q^2.
    query, gallery, labels = scene()
    protocol = Protocol(exclude="none")
    single = []
    for q in range(40):
        own = replace(
            labels,
            query_person=labels.query_person[[q]],
            query_camera=labels.query_camera[[q]],
        )
        single.append(shot(protocol=protocol, problem=(query[[q]], gallery, own)))
    chance = np.array([one.cmc for one in single])  # (Q, K)
    wanted = np.sqrt((chance * (1 - chance)).sum(0)) / 40
    drawn = shot("per_query", protocol, repeats=10_000)
    np.testing.assert_allclose(drawn.cmc_deviation, wanted, rtol=0.05, atol=1e-4)


@pytest.mark.parametrize("exclude", EXCLUDE)
def test_deviation_of_shared_draws_is_that_of_all_shared_draws(exclude):
    # A shared draw orders each person's images once; a query is shown the first that it sees.
    gp, gc = np.array([0, 0, 1, 1, 1, 2, 2]), np.array([0, 1, 0, 1, 2, 1, 2])
    labels = Labels.of([0, 0, 1, 2, 2, 1], [0, 2, 0, 0, 1, 1], gp, gc)
    distance = np.random.default_rng(8).random((6, 7))
    orders = [itertools.permutations(np.flatnonzero(gp == person).tolist()) for person in range(3)]
    curves = []
    for shuffled in itertools.product(*orders):
        hits = np.zeros(4)
        for query, row in enumerate(distance):
            images = by_person(labels, query, exclude)
            drawn = {p: next(i for i in shuffled[p] if i in images[p]) for p in images}
            hits[rank_of(row, drawn, labels.query_person[query]) - 1 :] += 1
        curves.append(hits / 6)
    asked = (distance, labels, Protocol(exclude=exclude))
    result = single_gallery_shot_distance(*asked, Sampling("shared", 10_000, ranks=RANKS))
    exact = single_gallery_shot_distance(*asked, Sampling(ranks=RANKS))
    np.testing.assert_allclose(exact.cmc, np.mean(curves, axis=0), rtol=0, atol=1e-12)
    np.testing.assert_allclose(result.cmc_deviation, np.std(curves, axis=0), rtol=0.05, atol=1e-12)
    np.testing.assert_allclose(result.cmc, exact.cmc, atol=0.01)


def test_equal_queries_share_a_draw_or_have_their_own():
    # The match is ahead of the other person in half of the draws.
    labels = Labels.of([1] * 50, [0] * 50, [1, 2, 2], [1] * 3)
    distance = np.tile([2.0, 1, 3], (50, 1))
    shared, own = (
        single_gallery_shot_distance(distance, labels, CLASSIC, Sampling(draw, ranks=(1,)))
        for draw in ("shared", "per_query")
    )
    assert shared.cmc_deviation == pytest.approx([0.5], abs=0.02)  # all hit, or none
    assert own.cmc_deviation == pytest.approx([0.5 / math.sqrt(50)], rel=0.3)


def test_deviation_of_two_repeats_divides_by_one():
    asked = (np.array([[2.0, 1, 3]]), Labels.of([1], [0], [1, 2, 2], [1] * 3), CLASSIC)
    results = [
        single_gallery_shot_distance(*asked, Sampling("shared", 2, seed, (1,)))
        for seed in range(20)
    ]
    pairs = {(one.rank1, round(float(one.cmc_deviation[0]), 6)) for one in results}
    assert pairs == {(0.0, 0.0), (0.5, 0.707107), (1.0, 0.0)}  # one hit in two: sqrt(1/2)


@pytest.mark.parametrize("draw", ["shared", "per_query", "expected"])
def test_one_image_a_person_is_the_plain_cmc(draw):
    problem = scene(images=1)
    plain, result = metrics.evaluate(*problem, CLASSIC), shot(draw, problem=problem)
    np.testing.assert_allclose(result.cmc, plain.cmc[:20], rtol=0, atol=1e-12)
    assert (result.queries, result.queries_without_match) == (
        plain.queries,
        plain.queries_without_match,
    )
    if draw != "expected":
        np.testing.assert_allclose(result.cmc_deviation, 0, atol=1e-12)


@pytest.mark.parametrize("draw", ["shared", "per_query"])
def test_seed_decides_and_blocks_do_not(draw, monkeypatch):
    first, other = (shot(draw, repeats=30, seed=seed) for seed in (1, 2))
    monkeypatch.setattr(single_shot_curves, "REPEATS_AT_A_TIME", 7)
    again = shot(draw, repeats=30, seed=1)
    assert first.as_dict() == again.as_dict()
    assert first.cmc.tolist() != other.cmc.tolist()


def test_pairs_at_a_time_do_not_matter(monkeypatch):
    whole = shot()
    monkeypatch.setattr(single_shot_curves, "PAIRS_AT_A_TIME", 1)
    np.testing.assert_allclose(shot().cmc, whole.cmc, rtol=0, atol=1e-13)


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
    sampled = shot("shared", repeats=5, seed=4, ranks=(1, 3))
    written = json.loads(json.dumps(sampled.as_dict()))
    assert sampled.map is None
    assert written["map"] is None
    assert written["rank1_deviation"] == pytest.approx(sampled.cmc_deviation[0])
    named = {key: written[key] for key in ("draw", "repeats", "seed", "exclude", "distance")}
    assert named == {
        "draw": "shared",
        "repeats": 5,
        "seed": 4,
        "exclude": "same_camera",
        "distance": "cosine",
    }
    assert written["queries"] + written["queries_without_match"] == 40
    assert (written["persons"], written["gallery"], len(written["cmc"])) == (30, 120, 3)
    with pytest.raises(ReidError, match="ranks 1 to 3"):
        sampled.rank(5)
    expected = shot().as_dict()
    assert (expected["repeats"], expected["seed"], expected["rank1_deviation"]) == (None,) * 3
    assert shot("shared", repeats=1).cmc_deviation is None


def test_torch_features_and_blocks_of_distances():
    torch = pytest.importorskip("torch")
    query, gallery, labels = scene()
    plain = shot()
    tensors = torch.from_numpy(query), torch.from_numpy(gallery), labels
    assert shot(problem=tensors).as_dict() == plain.as_dict()
    blocks = distances.distance_blocks(np.float32(query), np.float32(gallery))
    given_blocks = single_gallery_shot_distance(blocks, labels, CLASSIC)
    assert given_blocks.cmc.tolist() == plain.cmc.tolist()
    assert given_blocks.distance == "given"


@pytest.mark.parametrize(
    ("protocol", "distance", "sampling", "message"),
    [
        pytest.param({}, "cosine", {"draw": "some"}, "draw: no `some`", id="draw"),
        pytest.param({"exclude": "some"}, "cosine", {}, "exclude: no `some`", id="exclude"),
        pytest.param({}, "some", {}, "distance: no `some`", id="distance"),
        pytest.param({}, "cosine", {"draw": "shared", "repeats": 0}, "repeats: 0", id="repeats"),
        pytest.param({}, "cosine", {"ranks": (0, 1)}, "whole numbers from 1", id="rank zero"),
        pytest.param({}, "cosine", {"ranks": ()}, "whole numbers from 1", id="no ranks"),
        pytest.param({"junk": tuple(range(30))}, "cosine", {}, "nothing is left", id="all junk"),
    ],
)
def test_what_is_refused(protocol, distance, sampling, message):
    with pytest.raises(ReidError, match=message):
        single_gallery_shot(
            *scene(), Protocol(**protocol), distances.Comparison(distance), Sampling(**sampling)
        )


@pytest.mark.parametrize("draw", ["shared", "per_query", "expected"])
def test_no_match_at_all_is_refused(draw):
    labels = Labels.of([1], [0], [1, 2], [0, 0])  # one camera: nothing in sight
    with pytest.raises(ReidError, match="no query has a match"):
        single_gallery_shot_distance(np.zeros((1, 2)), labels, CLASSIC, Sampling(draw))


def test_nan_and_wrong_shape_are_refused():
    labels = Labels.of([1], [0], [1, 2], [1, 1])
    with pytest.raises(ReidError, match="row 0 has NaN"):
        single_gallery_shot_distance(np.array([[0, np.nan]]), labels, CLASSIC)
    with pytest.raises(ReidError, match="must be"):
        single_gallery_shot_distance(np.zeros((1, 3)), labels, CLASSIC)
