"""Edited code is run, and what an edit cannot change is kept."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from typer.testing import CliRunner

from pipeline.builds.adopt import adopt_build, adopt_training
from pipeline.builds.status import plan as planned
from pipeline.builds.status import status
from pipeline.commands.build import make_plan
from pipeline.commands.main import app
from pipeline.datasets import READERS
from pipeline.engine import code as codes
from pipeline.engine import run as engine
from reid import experiments
from reid.code import fingerprint
from reid.code.published import as_file
from reid.evaluation.evaluate import evaluate
from reid.evaluation.features import trained_network
from reid.papers.attention_driven.paper import PAPER
from reid.project.errors import ReidError
from reid.project.layout import Project
from reid.results.evaluated import metrics_of
from reid.training import train
from reid.training.pretrain import pretrain
from tests.conftest import contents
from tests.reid.training.test_pretrain import PARAMS, make_folder
from tests.reid.training.test_pretrain import RECIPE as PRETRAINING

ROOT = Path(__file__).parents[2]
STAGES = ("ingest", "joints", "parts")


def build(project: Project, *stages: str) -> None:
    for name in stages:
        engine.run(make_plan(name, "toy", project), project, executor="local")


def to_compute(project: Project) -> dict[str, int]:
    """The shards that each stage would compute now."""
    return {name: len(engine.missing(make_plan(name, "toy", project), project)) for name in STAGES}


@pytest.fixture
def sources(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the sources that keys are made of; what runs are the sources themselves."""
    for package in ("pipeline", "reid"):
        ignore = shutil.ignore_patterns("__pycache__", "*.safetensors")
        shutil.copytree(ROOT / package, tmp_path / "sources" / package, ignore=ignore)
    folder = tmp_path / "sources"
    monkeypatch.setattr(fingerprint, "_package_folder", lambda package: folder / package)
    return folder


def edit(sources: Path, name: str, before: str, after: str) -> None:
    text = (sources / name).read_text()
    assert before in text, f"{name} has no such line"
    (sources / name).write_text(text.replace(before, after, 1))


def test_an_edit_rebuilds_its_stage_and_no_other(toy: Project, sources: Path):
    build(toy, *STAGES)
    edit(sources, "pipeline/stages/parts.py", "boxes = part_boxes(", "boxes = 0 * part_boxes(")
    assert to_compute(toy) == {"ingest": 0, "joints": 0, "parts": 4}
    (line, *_) = {s["why"] for s in planned(make_plan("parts", "toy", toy), toy)["shards"]}
    assert line == "code: pipeline.stages.parts.derive changed"
    states = {row["stage"]: row["state"] for row in status(toy, make_plan)}
    assert states["joints"] == "built"
    assert "pipeline.stages.parts.derive changed" in states["parts"]


@pytest.mark.parametrize(
    ("name", "before", "after"),
    [
        pytest.param("pipeline/engine/inputs.py", '.filter(shard.table(["train"])["train"])', "",
                     id="which rows a fit sees"),
        pytest.param("reid/arrays/poses.py", "return self.bottom - self.top",
                     "return self.top - self.bottom", id="a property"),
        pytest.param("pipeline/engine/plan.py", "return table, _rejects(table)",
                     "return table, []", id="what is kept of a step"),
    ],
)  # fmt: skip
def test_code_that_a_stage_shares_is_in_its_key(
    toy: Project, sources: Path, name: str, before: str, after: str
):
    build(toy, *STAGES)
    edit(sources, name, before, after)
    assert to_compute(toy)["parts"] == 4


@pytest.mark.parametrize(
    ("name", "before", "after"),
    [
        pytest.param("reid/papers/attention_driven/params.py", "max(", "8 * max(",
                     id="a method of the parameters"),
        pytest.param("reid/data/samplers.py", "default_rng(", "default_rng(1 + ", id="the sampler"),
        pytest.param("reid/nn/schedules.py", "return ", "return 0.5 * ", id="the schedule"),
        pytest.param("reid/papers/attention_driven/samples.py", "def augment(",
                     "AUGMENTED = True\n\n\ndef augment(", id="nothing"),
        pytest.param("reid/training/loop.py", "state.step += 1", "state.step += 2", id="the loop"),
        pytest.param("reid/data/views.py", "return ", "return 0 or ", id="prepared samples"),
    ],
)  # fmt: skip
def test_code_that_a_training_shares_is_in_its_key(
    toy: Project, sources: Path, name: str, before: str, after: str, request: pytest.FixtureRequest
):
    build(toy, *STAGES)
    experiment = experiments.load(toy, "toy-baseline")
    key = experiment.key(toy)
    edit(sources, name, before, after)
    assert (experiment.key(toy) == key) == ("nothing" in request.node.name)


def test_a_reader_s_citation_and_writer_rebuild_nothing(toy: Project, sources: Path):
    build(toy, *STAGES)
    edit(sources, "pipeline/datasets/market1501.py", "def write(", "WRITES = 1\n\n\ndef write(")
    edit(sources, "pipeline/datasets/market1501.py", "citation=", "citation='cite ' ")
    assert to_compute(toy) == {"ingest": 0, "joints": 0, "parts": 0}


@pytest.mark.parametrize("reader", READERS)
def test_how_a_reader_lists_files_is_in_its_listing_alone(toy: Project, reader: str):
    listing = (":read", ":split", "READER.read", "READER.split")
    assert [n for n in codes.of_reader(reader, toy).definitions if n.endswith(listing)] == []


def test_what_follows_a_rebuilt_stage_goes_by_its_bytes(toy: Project, sources: Path):
    build(toy, *STAGES)
    edit(sources, "pipeline/stages/joints.py", "array = np.zeros(", "array = 0 + np.zeros(")
    assert to_compute(toy) == {"ingest": 0, "joints": 4, "parts": 0}
    build(toy, "joints")  # by the sources that run: the same bytes
    assert to_compute(toy) == {"ingest": 0, "joints": 0, "parts": 0}


@pytest.mark.parametrize(
    ("name", "before", "after"),
    [
        pytest.param("pipeline/stages/parts.py", '"""Body parts:', '"""Parts:', id="docstring"),
        pytest.param("pipeline/stages/parts.py", "FIT_ROUNDS = 2  #", "FIT_ROUNDS = 2  # two",
                     id="comment"),
        pytest.param("pipeline/stages/parts.py", "-> tuple[np.ndarray, np.ndarray, np.ndarray, "
                     "np.ndarray]:", "-> tuple:", id="annotation"),
        pytest.param("pipeline/stages/parts.py", '"parts needs the canonical', '"parts takes the',
                     id="error text"),
        pytest.param("reid/report/page.py", "import", "import os\nimport", id="the report"),
        pytest.param("pipeline/commands/build.py", "import", "import os\nimport", id="a command"),
        pytest.param("reid/project/progress.py", "import", "import os\nimport", id="progress"),
        pytest.param("pipeline/stages/jet.py", "return", "return None or", id="another stage"),
        pytest.param("pipeline/datasets/rap/reader.py", "return", "return None or",
                     id="another reader"),
        pytest.param("pipeline/backends/joints/mmpose.py", "return", "return None or",
                     id="another backend"),
        pytest.param("reid/nn/losses.py", "return", "return 0 *", id="a loss"),
    ],
)  # fmt: skip
def test_what_cannot_change_a_shard_rebuilds_none(
    toy: Project, sources: Path, name: str, before: str, after: str
):
    build(toy, *STAGES)
    edit(sources, name, before, after)
    assert to_compute(toy) == {"ingest": 0, "joints": 0, "parts": 0}


def test_the_stage_says_which_function_changed(toy: Project, sources: Path):
    build(toy, *STAGES)
    edit(sources, "pipeline/stages/parts.py", "boxes = part_boxes(", "boxes = 0 * part_boxes(")
    ran = CliRunner().invoke(app, ["parts", "toy", "--executor", "local"])
    assert "parts toy: code: pipeline.stages.parts.derive changed" in ran.output
    assert "4 shards computed, 0 reused" in ran.output


def test_adopting_keeps_the_bytes_and_the_manifest_says_so(toy: Project, sources: Path):
    build(toy, *STAGES)
    folder = toy.derived("parts", "toy")
    before, rows = contents(folder), contents(folder / "rows")
    edit(sources, "pipeline/stages/parts.py", "boxes = part_boxes(", "boxes = 1 * part_boxes(")
    ran = CliRunner().invoke(app, ["adopt", "parts", "toy"])
    assert "4 shards kept; code: pipeline.stages.parts.derive changed" in ran.output
    assert to_compute(toy) == {"ingest": 0, "joints": 0, "parts": 0}
    assert contents(folder / "rows") == rows
    old, new = (json.loads(x["manifest.json"]) for x in (before, contents(folder)))
    assert new["code"] != old["code"]
    assert {shard["adopted"] for shard in new["shards"]} == {old["code"]}
    assert "adopted" not in old["shards"][0]
    assert adopt_build("parts", "toy", toy, make_plan).what == "", "of this code already"


def test_nothing_is_adopted_with_other_parameters_or_inputs(toy: Project, sources: Path):
    build(toy, *STAGES)
    edit(sources, "pipeline/stages/parts.py", "boxes = part_boxes(", "boxes = 1 * part_boxes(")
    params = Path("params.yaml")
    params.write_text(params.read_text().replace("canonical_poses: 3", "canonical_poses: 2"))
    with pytest.raises(ReidError, match=r"4 of 4 shards were not built from these parameters"):
        adopt_build("parts", "toy", toy, make_plan)
    assert to_compute(toy)["parts"] == 4


def test_what_is_not_built_is_not_adopted(toy: Project):
    with pytest.raises(ReidError, match=r"run `reid joints toy`"):
        adopt_build("joints", "toy", toy, make_plan)


def test_a_changed_data_card_is_written_anew_and_no_row(toy: Project, sources: Path):
    build(toy, *STAGES)
    edit(sources, "pipeline/engine/data_card.py", '"## Made by', '"## How it was made')
    assert to_compute(toy) == {"ingest": 0, "joints": 0, "parts": 0}
    done = engine.run(make_plan("ingest", "toy", toy), toy, executor="local")
    assert (done.computed, done.published) == (0, True)


# ---------------------------------------------------------------------------------- trainings


RECIPE = "reid/papers/attention_driven/recipe.py"
LOSS = "branches = torch.stack(each[:5]).sum()"


@pytest.fixture
def trained(toy: Project, sources: Path) -> Project:
    build(toy, *STAGES)
    train.train(experiments.load(toy, "toy-baseline"), toy, device="cpu")
    return toy


def of_toy(project: Project) -> dict[str, Any]:
    return json.loads((project.run("toy-baseline") / "train" / "experiment.json").read_text())


def run_edited(project: Project, sources: Path, *arguments: str) -> str:
    """What the command prints, run by the edited sources."""
    begin = "import sys; sys.argv[0] = 'reid'; from pipeline.commands.main import main; main()"
    environment = {**os.environ, "PYTHONPATH": str(sources), "COLUMNS": "300"}
    command = [sys.executable, "-c", begin, *arguments]
    ran = subprocess.run(
        command, cwd=project.root, env=environment, capture_output=True, text=True, check=False
    )
    return ran.stdout + ran.stderr


def test_a_loss_times_zero_is_trained_anew_and_learns_nothing(toy: Project, sources: Path):
    build(toy, *STAGES)
    params = Path("params.yaml")
    longer = "epochs: 12\n      dropout: 0\n      learning_rate: 0.05"
    params.write_text(params.read_text().replace("epochs: 2", longer))
    train.train(experiments.load(toy, "toy-baseline"), toy, device="cpu")
    before = of_toy(toy)
    edit(sources, RECIPE, LOSS, LOSS + " * 0.0")
    said = run_edited(toy, sources, "train", "toy-baseline", "--device", "cpu")
    assert "is trained anew; code: reid.papers.attention_driven.recipe.loss changed" in said
    after = of_toy(toy)
    assert after["key"] != before["key"]
    assert after["train_loss"] == 0 < before["train_loss"]
    assert after["train_accuracy"] < before["train_accuracy"] - 0.2


def test_what_cannot_change_a_training_keeps_its_key(trained: Project, sources: Path):
    experiment = experiments.load(trained, "toy-baseline")
    for name, before, after in (
        (RECIPE, '"""', '"""More. '),
        ("reid/report/page.py", "import", "import os\nimport"),
        ("pipeline/commands/train.py", "import", "import os\nimport"),
        ("reid/papers/attention_driven/printed.py", "86.63", "86.64"),
        ("reid/papers/mutual_attention/network.py", "return", "return 0 *"),
        ("reid/evaluation/metrics.py", "return", "return 0 *"),
        ("pipeline/stages/jet.py", "return", "return 0 *"),
    ):
        edit(sources, name, before, after)
        assert experiment.key(trained) == of_toy(trained)["key"], name


def test_what_a_training_publishes_is_in_its_key(trained: Project, sources: Path):
    experiment, keys = experiments.load(trained, "toy-baseline"), [of_toy(trained)["key"]]
    for name, before, after in (
        ("reid/training/published.py", "t.detach().cpu()", "t.detach().cpu().half()"),
        ("reid/training/run.py", "task.mean.tolist()", "[0, 0, 0]"),
    ):
        edit(sources, name, before, after)
        keys.append(experiment.key(trained))
    assert len(set(keys)) == len(keys)


def test_weights_that_were_written_into_are_published_anew(trained: Project):
    experiment, weights = experiments.load(trained, "toy-baseline"), "train/model.safetensors"
    path = trained.run("toy-baseline") / weights
    whole = path.read_bytes()
    path.write_bytes(b"")  # and so what is kept, the same file
    train.train(experiment, trained, device="cpu")
    assert path.read_bytes() == whole


def test_an_evaluation_refuses_a_network_of_other_code(trained: Project, sources: Path):
    edit(sources, RECIPE, LOSS, LOSS + " * 1.0")
    with pytest.raises(ReidError, match=r"recipe\.loss changed\); run `reid train toy-baseline`"):
        evaluate(experiments.load(trained, "toy-baseline"), trained, device="cpu")


def test_adopting_a_training_keeps_its_bytes_and_says_so(trained: Project, sources: Path):
    folder, old = trained.run("toy-baseline") / "train", of_toy(trained)
    weights = (folder / "model.safetensors").read_bytes()
    edit(sources, RECIPE, LOSS, LOSS + " * 1.0")
    ran = CliRunner().invoke(app, ["adopt", "train", "toy-baseline"])
    assert "the network kept; code: reid.papers.attention_driven.recipe.loss changed" in ran.output
    assert (folder / "model.safetensors").read_bytes() == weights
    assert of_toy(trained)["adopted"] == old["code"]
    before = (folder / "model.safetensors").stat().st_ino
    assert train.train(experiments.load(trained, "toy-baseline"), trained) == folder
    assert (folder / "model.safetensors").stat().st_ino == before, "not trained again"
    shutil.rmtree(folder)  # as DVC does before it runs a stage
    train.train(experiments.load(trained, "toy-baseline"), trained)
    assert (folder / "model.safetensors").stat().st_ino == before, "not trained again"
    assert of_toy(trained)["adopted"] == old["code"]
    assert evaluate(experiments.load(trained, "toy-baseline"), trained, device="cpu")["queries"]


def test_metrics_of_other_code_are_not_shown(trained: Project, sources: Path):
    experiment = experiments.load(trained, "toy-baseline")
    evaluate(experiment, trained, device="cpu")
    assert metrics_of(trained, experiment) is not None
    edit(sources, "reid/evaluation/metrics.py", "return", "return 0 *")
    assert metrics_of(trained, experiment) is None


def test_a_training_half_done_under_other_code_is_left(toy: Project, sources: Path):
    build(toy, *STAGES)
    experiment = experiments.load(toy, "toy-baseline")
    half = toy.work / "train" / experiment.key(toy)
    half.mkdir(parents=True)
    (half / "code.json").write_bytes(as_file(experiment.code(toy)))
    (half / "experiment").write_text("toy-baseline")
    (half / "checkpoint.pt").write_bytes(b"half done")
    edit(sources, RECIPE, LOSS, LOSS + " * 1.0")
    said: list[str] = []
    train.train(experiment, toy, device="cpu", say=said.append)
    (line,) = said
    assert "toy-baseline: begins anew, not from what is half done in" in line
    assert "code: reid.papers.attention_driven.recipe.loss changed" in line
    assert (half / "checkpoint.pt").read_bytes() == b"half done"


def test_a_pretraining_is_done_anew_by_other_code_and_on_other_images(
    toy: Project, sources: Path, tmp_path: Path
):
    root, said = make_folder(tmp_path), list[str]()

    def epochs_done(epochs: int) -> list[str]:
        recipe = PRETRAINING.model_copy(update={"epochs": epochs})
        folder = pretrain(toy, root, PAPER, PARAMS, recipe, "cpu", said.append)
        assert (folder / "code.json").is_file()
        return sorted(str(path.parent.name) for path in toy.work.glob("pretrain/*/checkpoint.pt"))

    first = epochs_done(1)
    assert epochs_done(1) == first, "as it was"
    edit(sources, "reid/training/pretrain.py", "predicted]).sum()", "predicted]).sum() * 0.0")
    second = epochs_done(1)
    assert len(second) == 2
    assert said == [
        "pretrain-attention_driven: is trained anew; "
        "code: reid.training.pretrain.PretrainTask.step changed"
    ]
    edit(sources, "reid/papers/mutual_attention/network.py", "return", "return 0 *")
    assert epochs_done(1) == second, "another paper's network"
    (root / "train/red/0.jpg").write_bytes((root / "train/blue/0.jpg").read_bytes())
    assert len(epochs_done(1)) == 3


def test_a_damaged_description_or_metrics_is_one_line(trained: Project):
    experiment = experiments.load(trained, "toy-baseline")
    folder = trained.run("toy-baseline")
    (folder / "train" / "code.json").write_text('{"definitions": {}}')
    (folder / "evaluate").mkdir()
    for damage in ("[]", "{}", '{"key": 3}', "[" * 100_000, "\x00"):
        (folder / "train" / "experiment.json").write_text(damage)
        (folder / "evaluate" / "metrics.json").write_text(damage)
        again = r"experiment\.json: .*; run `reid train toy-baseline`"
        with pytest.raises(ReidError, match=again):
            trained_network(experiment, trained, torch.device("cpu"))
        with pytest.raises(ReidError, match=again):
            adopt_training(experiment, trained)
        with pytest.raises(ReidError, match=r"metrics\.json: .*; run `reid evaluate toy-baseline`"):
            metrics_of(trained, experiment)
