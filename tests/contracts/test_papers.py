"""What every paper promises, of a tiny network of each and of its printed tables."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from pipeline.stages import stage
from reid.experiments import params_model
from reid.papers import FULL_SIZE, PAPERS, paper_of
from reid.papers.contract import Method, Paper
from reid.papers.full_size import named
from reid.papers.sections import SECTIONS
from reid.papers.table import Row
from reid.project.params import check
from tests.reid.papers.tiny import TINY, rows, shaken

PERSONS, EACH = 8, 4  # samples of a person
MEAN = torch.tensor([100.0, 110.0, 120.0])
RATES = {"implicit_attention": 0.01, "strong_baseline": 0.01, "mutual_attention": 0.01}


class Made(NamedTuple):
    """A paper's tiny network and a batch for it, as its sampler makes batches."""

    paper: Paper[Any, Any]
    method: Method[Any, Any]
    params: Any
    network: nn.Module
    views: dict[str, Tensor]
    targets: Tensor

    def ready(self) -> dict[str, Tensor]:
        return self.method.normalize(self.params, self.views, MEAN)

    def loss(self) -> Tensor:
        """Of the batch as a step of training sees it: augmented, by the same draw each time."""
        generator = torch.Generator().manual_seed(1)
        torch.manual_seed(1)
        seen = self.method.augment(self.params, self.views, generator)
        output = self.network(self.method.normalize(self.params, seen, MEAN))
        assert self.method.training_logits(output).shape == (len(self.targets), PERSONS)
        return self.method.loss(self.params, output, self.targets)["loss"]


@pytest.fixture(params=PAPERS)
def name(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def made(name: str) -> Made:
    paper, method = paper_of(name), paper_of(name).method()
    params = params_model(name)(dataset="none", **TINY[name])
    labels = np.repeat(np.arange(PERSONS), EACH)
    clips = paper.clips(params)
    batch = method.sampler(params, labels, 0).batches(0)[0] if clips else np.arange(len(labels))
    shape = (len(batch), clips.length) if clips else (len(batch),)
    random = np.random.default_rng(0)
    each = [method.view(params, row["image"], row) for row in rows(random, int(np.prod(shape)))]
    stacked = {n: torch.from_numpy(np.stack([view[n] for view in each])) for n in each[0]}
    views = {n: values.unflatten(0, shape) for n, values in stacked.items()}
    torch.manual_seed(0)
    network, targets = method.build(params, PERSONS), torch.from_numpy(labels[batch])
    return Made(paper, method, params, network, views, targets)


def test_a_view_needs_the_columns_alone(name: str, made: Made):
    row = rows(np.random.default_rng(0), 1)[0]
    known = {n: v for n, v in row.items() if n in made.paper.columns(made.params)}
    view = made.method.view(made.params, row["image"], known)
    assert view.keys() == made.method.describe(made.params).inputs.keys()
    assert set(made.paper.stages(made.params)) == set(made.paper.columns(made.params)) - {"image"}
    assert set(made.paper.test_only) <= set(made.paper.params.model_fields)
    assert name == made.paper.name


def test_augmentation_repeats_by_its_generator_and_leaves_the_views(made: Made):
    before = {name: values.clone() for name, values in made.views.items()}
    one, two, three = (
        made.method.augment(made.params, made.views, torch.Generator().manual_seed(seed))
        for seed in (3, 3, 4)
    )
    assert all(torch.equal(one[name], two[name]) for name in one)
    assert any(not torch.equal(one[name], three[name]) for name in one)
    assert all(torch.equal(made.views[name], values) for name, values in before.items())


def test_steps_of_training_lower_the_loss(name: str, made: Made):
    optimizer = made.method.optimizer(made.params, made.network)
    made.network.train()
    made.method.begin_epoch(made.params, made.network, optimizer, 0, 0)
    for group in optimizer.param_groups:
        group["lr"] = RATES.get(name, made.method.learning_rate(made.params, 0))
    losses = []
    for _ in range(15):
        loss = made.loss()
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert np.isfinite(losses).all()
    assert losses[-1] < 0.9 * losses[0]


def test_a_feature_is_of_its_sample_alone(made: Made):
    network = shaken(made.network).eval()
    with torch.no_grad():
        feature = made.method.embed(network, made.params, made.ready())
        first = {name: values[:1] for name, values in made.ready().items()}
        alone = made.method.embed(network, made.params, first)
    assert feature.shape[0] == len(made.targets)
    assert feature.shape[1] % made.method.feature_parts(made.params) == 0
    assert feature.isfinite().all()
    assert (feature.std(0) > 0).any(), "another one of each sample"
    torch.testing.assert_close(feature[:1], alone, rtol=1e-3, atol=1e-4)


def test_attention_maps_are_weights_of_the_views_places(made: Made):
    ready = made.ready()
    with torch.inference_mode():
        maps = made.method.attention_maps(made.network.eval(), ready)
    assert maps.keys() <= ready.keys()
    for weights in (w for layers in maps.values() for w in layers.values()):
        assert weights.shape[0] == len(made.targets)
        assert weights.ndim in (3, 4)
        assert (weights >= 0).all()


def test_an_epochs_learning_rates_are_positive(made: Made):
    epochs = np.linspace(0, made.params.epochs, 50, endpoint=False)
    assert all(made.method.learning_rate(made.params, epoch) > 0 for epoch in epochs)


def _training(paper: Paper[Any, Any], row: Row, reader: str) -> dict[str, Any]:
    checked = paper.params.model_validate(row.parameters(reader))
    return checked.model_dump(exclude=set(paper.test_only))


def test_printed_tables_name_existing_parameters_and_rows(name: str):
    paper = paper_of(name)
    tables = {str(number): table for number, table in paper.tables.items()}
    for number, table in tables.items():
        names = [row.name for row in table.rows]
        assert len(names) == len(set(names)), number
        for row in table.rows:
            check(paper.params, row.overrides or {}, f"table {number}, {row.name}")
            if row.same_as:
                other_number, other = row.same_as.split(": ", 1)
                same = tables[other_number].row(other)
                for reader in ("", *row.on, *same.on):
                    assert _training(paper, row, reader) == _training(paper, same, reader)
                assert row.stages == same.stages


def test_a_claim_is_of_two_rows_that_differ_in_one_thing(name: str):
    paper = paper_of(name)
    every = [c for claim in paper.claims for c in (claim, claim.control_claim) if c]
    assert len({claim.name for claim in every}) == len(every)
    for claim in every:
        one, other = (
            paper.params.model_validate(r.parameters("")) for r in (claim.better, claim.worse)
        )
        differing = [key for key, value in one if getattr(other, key) != value]
        moved = claim.better.of_source != claim.worse.of_source
        assert len(differing) + moved == 1, claim.name
        # A region is of no matter where nothing is swapped.
        if claim.better.stages != claim.worse.stages:
            assert differing == ["swap_probability"]
            assert other.swap_probability == 0


def test_full_size_experiments_name_existing_parameters(name: str):
    for reader, given in FULL_SIZE[name]().items():
        for key, values in named(given.experiments, "mine").items():
            check(params_model(name), values, f"{reader}: {key}")
        assert all("{" not in key for key in named(given.scale, "mine"))


def test_builds_of_printed_rows_are_the_stages_defaults_and_what_is_added(name: str):
    added = [given.stages for given in FULL_SIZE[name]().values()]
    for stage_name, wanted in paper_of(name).built.items():
        defaults = stage(stage_name).params().model_dump()
        written = [values for stages in added for values in stages[stage_name].values()]
        for values in written:
            assert {key: {**defaults, **values}[key] for key in wanted} == wanted


def test_sections_of_the_report_can_be_imported(name: str):
    sections = SECTIONS[name]() if name in SECTIONS else None
    if sections is not None:
        listed = sections
        assert listed.data_set or listed.scores or listed.looks
