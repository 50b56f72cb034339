"""The strong baseline by itself: its own size, no swaps, trained from images alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pipeline.commands.build import make_plan
from pipeline.engine import run as engine
from reid import experiments
from reid.evaluation.evaluate import evaluate
from reid.papers.strong_baseline.method import METHOD as method
from reid.papers.strong_baseline.paper import Params
from reid.project.errors import ReidError
from reid.project.layout import Project
from reid.training.train import train

SECTION = """
strong_baseline:
  on:
    plain: {dataset: toy, backbone: resnet18, channels: [8, 8, 16, 16], weights: '', height: 64,
            width: 32, epochs: 1, batch: 16}
    swapped: {dataset: toy, swap_probability: 0.3}
"""


@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::FutureWarning")
def test_it_trains_and_is_tested_with_nothing_built_but_the_shards(toy: Project):
    Path("params.yaml").write_text(Path("params.yaml").read_text() + SECTION)
    engine.run(make_plan("ingest", "toy", toy), toy, executor="local")
    experiment = experiments.load(toy, "plain")
    train(experiment, toy, device="cpu")
    found = evaluate(experiment, toy, device="cpu")
    assert found["dimensions"] == 16
    assert found["queries"] == 12
    with pytest.raises(ReidError, match=r"strong_baseline.on.swapped.swap_probability"):
        experiments.load(toy, "swapped")


def test_images_keep_their_whole_width():
    left_white = np.zeros((60, 20, 3), np.uint8)
    left_white[:, :10] = 255
    seen = method.view(Params(), left_white, {})["image"]
    assert seen.shape == (256, 128, 3)
    assert (seen[:, :60] == 255).all()
    assert (seen[:, 68:] == 0).all()


def test_it_has_the_published_recipe():
    params = Params()
    assert (params.epochs, params.batch, params.images, params.margin) == (120, 64, 4, 0.3)
    assert params.swap_probability == 0
    rates = [method.learning_rate(params, epoch) for epoch in (0, 20, 45, 100)]
    np.testing.assert_allclose(rates, [3.5e-4 * f for f in (0.109, 1, 0.1, 0.01)], rtol=1e-6)
