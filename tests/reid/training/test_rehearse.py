"""A rehearsal: figures of a few steps, nothing kept; the paper's full size at Market's classes."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from pipeline.commands.main import app
from reid import experiments
from reid.project.errors import ReidError
from reid.project.layout import Project
from reid.training.rehearse import rehearse
from tests.conftest import contents, make_project, reid
from tests.reid.training.test_train import built

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning", "ignore::FutureWarning")

MARKET_CLASSES = 751


def test_figures_follow_from_one_another_and_nothing_is_kept(toy: Project):
    project = built(toy)
    before = set(contents(Path()))
    figures = rehearse(experiments.load(project, "toy-inter"), project, steps=2, device="cpu")
    assert set(contents(Path())) == before
    assert figures["steps"] == 2
    assert figures["steps_per_epoch"] == 36 // 16
    assert figures["hours"] == pytest.approx(2 * figures["hours_per_epoch"])
    assert figures["hours_per_epoch"] == pytest.approx(figures["step_s"] * 2 / 3600)
    assert figures["images_per_second"] == pytest.approx(16 / figures["step_s"])
    assert 0 <= figures["waited_share"] < 1
    assert 0.05 < figures["memory_gb"] < 50
    asked = ["rehearse", "toy-inter", "--steps", "1", "--device", "cpu"]
    said = CliRunner().invoke(app, asked).output
    assert all(word in said for word in ("memory", "images/s"))
    assert re.search(r"; [0-9.]+ s per epoch, [0-9.]+ s for 2 epochs$", said.strip())
    with pytest.raises(ReidError, match="steps: 0"):
        rehearse(experiments.load(project, "toy-inter"), project, steps=0)


@pytest.mark.slow
def test_the_paper_s_full_size_runs_two_steps_at_market_s_class_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    project = make_project(tmp_path / "project", persons=2 * MARKET_CLASSES, cameras=1, shots=1)
    monkeypatch.chdir(project.root)
    text = Path("params.yaml").read_text()
    start, end = text.index("  scale:"), text.index("  on:\n    toy-baseline")
    Path("params.yaml").write_text(
        text[:start] + text[end:] + "    full: {dataset: toy, model: intra_inter}\n"
    )
    built(project)
    experiment = experiments.load(project, "full")
    assert (experiment.params.height, experiment.params.batch) == (384, 32)
    # A process of its own, for the memory is the most that it has ever held.
    done = reid("rehearse", "full", "--steps", "2", "--device", "cpu", "--json", timeout=1200)
    assert done.returncode == 0, done.stderr
    figures = json.loads(done.stdout)
    assert figures["steps"] == 2
    assert figures["epochs"] == 100
    assert figures["memory_gb"] > 1, "activations of 32 images at 384 x 192 in five branches"
