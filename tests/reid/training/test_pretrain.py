"""Pretraining on a tiny folder: it learns, starts a training."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from reid.arrays import images
from reid.papers.attention_driven.paper import PAPER as attention_driven
from reid.papers.attention_driven.params import Params
from reid.papers.attention_driven.pretraining import PRETRAINING
from reid.papers.pretraining import Recipe
from reid.project.errors import ReidError
from reid.project.layout import Project
from reid.training import pretrain

PARAMS = Params(height=64, width=32, part_height=32, part_width=32, width_scale=0.25, dropout=0)
PAPERS_OWN = PRETRAINING.recipe
RECIPE = PAPERS_OWN.model_copy(update={"epochs": 3, "batch": 4, "learning_rate": 0.05})


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return make_folder(tmp_path)


def make_folder(root: Path) -> Path:
    """Two classes of eight images: reddish and bluish noise."""
    random = np.random.default_rng(0)
    for label, name in enumerate(("red", "blue")):
        (root / "net/train" / name).mkdir(parents=True)
        for i in range(8):
            image = random.integers(0, 120, (40, 30, 3), dtype=np.uint8)
            image[..., 2 * label] += 120
            path = root / "net/train" / name / f"{i}.jpg"
            path.write_bytes(images.encode_jpeg(image))
    return root / "net"


def run(project: Path, folder: Path, recipe: Recipe = RECIPE) -> Path:
    return pretrain.pretrain(Project(project), folder, attention_driven, PARAMS, recipe, "cpu")


def test_it_learns_and_its_weights_start_a_training(tmp_path: Path, folder: Path):
    recipe = PAPERS_OWN.model_copy(
        update={"epochs": 10, "decay_epochs": 10, "batch": 8, "learning_rate": 0.02}
    )
    published = run(tmp_path / "a", folder, recipe)
    lines = (published / "history.csv").read_text().splitlines()
    losses = [float(line.split(",")[1]) for line in lines[1:]]
    assert losses[-1] < losses[0]
    params = PARAMS.model_copy(update={"weights": str(published / "weights.pt")})
    network = attention_driven.method().build(params, 5)
    state = torch.load(published / "weights.pt", weights_only=True)
    torch.testing.assert_close(network.state_dict()["conv1.weight"], state["conv1.weight"])
    for i in range(1, 4):  # all four parts' branches start from the one pretrained branch
        torch.testing.assert_close(
            network.state_dict()[f"parts.{i}.reduce.weight"], state["parts.0.reduce.weight"]
        )


def test_a_last_batch_of_one_image_is_left_out(tmp_path: Path, folder: Path):
    """Batch normalisation of features refuses it; the next epoch has another order."""
    recipe = RECIPE.model_copy(update={"epochs": 1, "batch": 5})
    assert (run(tmp_path / "a", folder, recipe) / "weights.pt").is_file()


def test_a_folder_without_classes_is_refused(tmp_path: Path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(ReidError, match="fewer than two folders of classes"):
        run(tmp_path, tmp_path / "empty")


def test_a_broken_image_is_named(tmp_path: Path, folder: Path):
    (folder / "train/red/3.jpg").write_bytes(b"")
    with pytest.raises(ReidError, match=r"red/3\.jpg: empty file"):
        run(tmp_path / "a", folder)
