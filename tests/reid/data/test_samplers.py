"""Each sampler's stated semantics, on random label sets."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reid.data.samplers import IdentityBatches, Shuffle
from reid.project.errors import ReidError

PERSONS = st.lists(st.integers(0, 8), min_size=1, max_size=60)


def same(left, right):
    return len(left) == len(right) and all(
        np.array_equal(a, b) for a, b in zip(left, right, strict=True)
    )


@pytest.mark.parametrize("drop_last", [False, True])
@given(count=st.integers(1, 40), batch=st.integers(1, 12))
@settings(deadline=None, derandomize=True)
def test_shuffle_gives_each_row_once(drop_last, count, batch):
    if drop_last and count < batch:
        with pytest.raises(ReidError, match="do not fill"):
            Shuffle(count, batch, 0, drop_last=True)
        return
    sampler = Shuffle(count, batch, 0, drop_last=drop_last)
    batches = sampler.batches(3)
    rows = np.concatenate(batches).tolist()
    assert len(batches) == len(sampler)
    assert len(set(rows)) == len(rows) == (count // batch * batch if drop_last else count)
    assert set(rows) <= set(range(count))
    assert all(len(part) == batch for part in batches[:-1])


def samplers(seed):
    person = np.random.default_rng(0).integers(0, 30, 200)
    return [
        Shuffle(200, 16, seed),
        IdentityBatches(person, 4, 4, seed),
        IdentityBatches(person, 4, 4, seed, "uniform"),
    ]


@pytest.mark.parametrize("which", range(3), ids=["shuffle", "bag of tricks", "uniform"])
def test_a_pure_function_of_seed_and_epoch(which):
    sampler, again = samplers(7)[which], samplers(7)[which]
    later = sampler.batches(5)  # as after a resume: no epoch before it was asked for
    for epoch in range(5):
        again.batches(epoch)
    assert same(later, again.batches(5))
    assert not same(later, sampler.batches(6))
    assert not same(later, samplers(8)[which].batches(5))


@given(person=PERSONS, identities=st.integers(1, 5), images=st.integers(1, 5))
@settings(deadline=None, derandomize=True)
def test_bag_of_tricks(person, identities, images):
    counts = Counter(person)
    if len(counts) < identities:
        with pytest.raises(ReidError, match=r"persons do not fill a batch of .* smaller `batch`"):
            IdentityBatches(person, identities, images, 0)
        return
    sampler = IdentityBatches(person, identities, images, 0)
    batches = sampler.batches(1)
    taken = Counter()
    used = Counter()
    for batch in batches:
        groups = np.asarray(person)[batch].reshape(identities, images)
        assert (groups == groups[:, :1]).all()  # an identity's images lie side by side
        assert len(set(groups[:, 0].tolist())) == identities
        taken.update(groups[:, 0].tolist())
        used.update(batch.tolist())
    for row, times in used.items():  # only short identities repeat a row
        assert times == 1 or counts[person[row]] < images
    left = {p: max(1, n // images) - taken[p] for p, n in counts.items()}
    assert min(left.values()) >= 0
    assert sum(n > 0 for n in left.values()) < identities  # it went on while it could
    assert 1 <= len(batches) <= len(sampler)


def test_the_most_batches_can_be_reached():
    person = np.repeat([0, 1, 2], [40, 8, 8])  # 10, 2 and 2 groups: 4 batches of two, at most
    sampler = IdentityBatches(person, 2, 4, 0)
    assert len(sampler) == 4
    assert max(len(sampler.batches(epoch)) for epoch in range(30)) == 4


@pytest.mark.parametrize("drop_last", [False, True])
@given(person=PERSONS, identities=st.integers(1, 5), images=st.integers(1, 5))
@settings(deadline=None, derandomize=True)
def test_uniform(drop_last, person, identities, images):
    counts = Counter(person)
    if len(counts) < identities:
        return
    sampler = IdentityBatches(person, identities, images, 0, "uniform", drop_last=drop_last)
    batches = sampler.batches(1)
    groups = np.asarray(person)[np.concatenate(batches)].reshape(-1, images)
    rows = np.concatenate(batches).reshape(-1, images)
    assert len(batches) == len(sampler)
    assert (groups == groups[:, :1]).all()
    whole = len(counts) // identities * identities if drop_last else len(counts)
    assert len(set(groups[:, 0].tolist())) == len(groups) == whole
    for group, own in zip(groups, rows, strict=True):
        assert len(set(own.tolist())) == images or counts[group[0]] < images


def test_every_identity_is_drawn_equally_often_in_uniform():
    person = np.repeat(np.arange(10), np.arange(1, 11))  # 1 to 10 images
    sampler = IdentityBatches(person, 3, 2, 0, "uniform")
    drawn = Counter(
        p for e in range(200) for b in sampler.batches(e) for p in person[b[::2]].tolist()
    )
    assert sum(drawn.values()) == 200 * 9
    assert min(drawn.values()) > 160  # 180 expected


@pytest.mark.parametrize(
    ("make", "message"),
    [
        pytest.param(lambda: Shuffle(0, 4, 0), "count is 0", id="no rows"),
        pytest.param(lambda: Shuffle(4, 0, 0), "batch is 0", id="no batch"),
        pytest.param(lambda: IdentityBatches([1, 2], 2, 0, 0), "images is 0", id="no images"),
        pytest.param(lambda: IdentityBatches([], 1, 1, 0), "0 persons", id="no persons"),
        pytest.param(lambda: IdentityBatches([1], 1, 1, 0, "bag"), "no mode `bag`", id="mode"),
    ],
)
def test_errors(make, message):
    with pytest.raises(ReidError, match=message):
        make()
