"""What every command has: checked options and names, an example, a version, completion by tab."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.core import TyperGroup
from typer.testing import CliRunner

from pipeline.commands import networks
from pipeline.commands.console import LEAST, heading, short
from pipeline.commands.main import app
from pipeline.fit.run import LESSONS
from pipeline.stages import STAGES
from pipeline.stages import stage as find_stage
from reid.arrays import images
from reid.project.errors import ReidError
from reid.project.layout import Project
from tests import documented_commands
from tests.conftest import reid

RUN = CliRunner()


def invoke(*arguments: str) -> str:
    result = RUN.invoke(app, list(arguments), env={"COLUMNS": "200"})
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.output


def commands(group: Any = None, before: str = "reid") -> list[tuple[str, Any]]:
    out: list[tuple[str, Any]] = []
    for name, command in (group or typer.main.get_command(app)).commands.items():
        full = f"{before} {name}"
        out += commands(command, full) if isinstance(command, TyperGroup) else [(full, command)]
    return out


@pytest.fixture
def built(toy: Project) -> Project:
    for stage in ("ingest", "joints", "parts"):
        invoke(stage, "toy", "--executor", "local")
    return toy


def taking(option: str) -> list[str]:
    return [name for name, command in commands() if option in documented_commands.options(command)]


@pytest.mark.parametrize("command", taking("--device"))
def test_a_wrong_device_is_one_line(command: str):
    refused(command, ["--device", "gpu0"], "--device: no `gpu0` (there are auto, cpu, cuda")


@pytest.mark.parametrize("option", sorted(LEAST))
def test_a_number_that_is_too_small_is_one_line_wherever_it_is_taken(option: str):
    assert taking(f"--{option}")
    less = LEAST[option] - 1
    for command in taking(f"--{option}"):
        said = f"--{option}: {less}, must be at least {LEAST[option]}"
        refused(command, [f"--{option}", str(less)], said)


def test_every_number_that_a_command_takes_has_a_least():
    taken = {
        option.name
        for _, command in commands()
        for option in command.params
        if isinstance(option.default, int | float) and not isinstance(option.default, bool)
    }
    assert "epochs" in taken
    assert taken <= LEAST.keys()


def refused(command: str, options: list[str], said: str) -> None:
    words = example_of(dict(commands())[command])[1:]
    with pytest.raises(ReidError) as error:
        invoke(*words, *options)
    assert str(error.value).startswith(said)


def test_devices_that_are_taken(toy: Project):
    for device in ("auto", "cpu", "cuda", "cuda:1"):
        documented_commands.parse(["reid", "train", "any", "--device", device])


def test_a_device_that_is_not_there_is_one_line(toy: Project, monkeypatch: pytest.MonkeyPatch):
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    text = Path("params.yaml").read_text()
    given = "{backend: given, path: joints.csv}"
    Path("params.yaml").write_text(text.replace(given, "{backend: torchvision, weights: random}"))
    invoke("ingest", "toy", "--executor", "local")
    with pytest.raises(ReidError, match="`cuda`, but torch finds no CUDA device; use cpu"):
        invoke("joints", "toy", "--device", "cuda")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["train", "toy-baselin"], "no experiment `toy-baselin`; did you mean `toy-baseline`?"),
        (["rehearse", "toy-baselin"], "did you mean `toy-baseline`?"),
        (["evaluate", "toy-baselin"], "did you mean `toy-baseline`?"),
        (["evaluate", "toy-inter", "--dataset", "tyo"], "no data set `tyo`; did you mean `toy`?"),
        (["attention", "toy-baselin"], "did you mean `toy-baseline`?"),
        (["search", "toy-baselin", "a.jpg"], "did you mean `toy-baseline`?"),
        (["compare", "toy-inter", "toy-intr"], "did you mean `toy-inter`?"),
        (["features", "toy-inter", "tyo"], "did you mean `toy`?"),
        (["export", "network", "toy-baselin", "out"], "did you mean `toy-baseline`?"),
        (["export", "features", "toy-baselin", "out"], "did you mean `toy-baseline`?"),
        (["export", "tree", "tyo", "out"], "did you mean `toy`?"),
        (["sources", "toy-baselin"], "did you mean `toy-baseline`?"),
        (["summary", "attention_drive"], "did you mean `attention_driven`?"),
        (["pretrain", "attention_drive", "--root", "."], "did you mean `attention_driven`?"),
        (["table", "attention_drive", "6", "--dataset", "toy"], "did you mean `attention_driven`?"),
        (["table", "attention_driven", "6", "--dataset", "tyo"], "did you mean `toy`?"),
        (["fit-backend", "joints_mmpos"], "did you mean `joints_mmpose`?"),
        (["adopt", "prats", "toy"], "no stage `prats`; did you mean `parts`?"),
        (["adopt", "nosuch", "toy"], "no stage `nosuch` (there are ingest, joints, parts,"),
        (["adopt", "trian", "toy-inter"], "no stage `trian`; did you mean `train`?"),
        (["remove", "tyo"], "did you mean `toy`?"),
        (["adopt", "train", "toy-baselin"], "did you mean `toy-baseline`?"),
        (["plan", "prats", "toy"], "no stage `prats`; did you mean `parts`?"),
        (["plan", "parts", "tyo"], "did you mean `toy`?"),
        (["accuracy", "joint", "toy"], "did you mean `joints`?"),
        (["accuracy", "joints", "tyo"], "params.yaml: joints.on has no `tyo`; did you mean `toy`?"),
        (["verify", "tyo"], "did you mean `toy`?"),
        (["inspect", "parts/tyo"], "did you mean `parts/toy`?"),
        (["inspect", "parts/toy"], "not built yet; run `reid parts toy`"),
        (["datasets", "market151"], "did you mean `market1501`?"),
        (
            ["datasets", "toy"],
            "no reader `toy`, but a data set of this project: `reid inspect toy`",
        ),
    ],
)
def test_a_wrong_name_is_said_before_torch_is_loaded(toy: Project, arguments, said: str):
    code = (
        "import sys\n"
        "class Refused:\n"
        "    def find_spec(self, name, *rest):\n"
        "        assert name != 'torch', 'torch is loaded'\n"
        "sys.meta_path.insert(0, Refused())\n"
    )
    done = reid(*arguments, patch=code)
    assert done.returncode == 2, done.stderr
    assert said in done.stderr
    assert done.stderr.count("\n") == 1


def test_advice_of_a_build_that_is_not_there_can_be_followed(toy: Project):
    with pytest.raises(ReidError, match="not built yet; run `reid joints toy`"):
        invoke("accuracy", "joints", "toy")


def example_of(command: Any) -> list[str]:
    lines = re.findall(r"^Example: (reid .+)$", command.help, re.MULTILINE)
    assert len(lines) == 1, f"{command.name}: one line `Example: reid ...`"
    return lines[0].split()


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", [name for name, _ in commands()])
def test_help_has_an_example_that_is_taken(name: str):
    words = example_of(dict(commands())[name])
    assert " ".join(words).startswith(name)
    documented_commands.parse(words)
    assert "Example: reid" in invoke(*name.split()[1:], "--help")


def test_the_version_is_said():
    assert re.fullmatch(r"reid \d+\.\d+\.\d+\n", invoke("--version"))


@pytest.mark.parametrize(
    ("typed", "given"),
    [
        pytest.param("reid train toy-", ["toy-baseline", "toy-inter"], id="an experiment"),
        pytest.param("reid parts t", ["toy"], id="a stage's build"),
        pytest.param("reid plan pa", ["parts"], id="a stage"),
        pytest.param("reid summary str", ["strong_baseline"], id="a paper"),
        pytest.param("reid remove toy-i", ["toy-inter"], id="what may be removed"),
        pytest.param("reid evalu", ["evaluate"], id="a command"),
        ("reid inspect p", ["parts/toy"]),
    ],
)
def test_tab_completes(toy: Project, typed: str, given: list[str]):
    environment = {
        "_REID_COMPLETE": "complete_bash", "COMP_WORDS": typed,
        "COMP_CWORD": str(len(typed.split()) - 1),
    }  # fmt: skip
    code = "import sys; sys.argv = ['reid']; from pipeline.commands.main import app; "
    code += "app(prog_name='reid')"
    done = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, **environment}, capture_output=True,
        text=True,
    )  # fmt: skip
    assert done.stdout.split() == given, done.stderr


def test_status_tells_of_experiments_and_the_report(built: Project):
    shown = invoke("status")
    lines = {line.split()[0]: line for line in shown.splitlines() if line.split()}
    assert "not trained" in lines["toy-baseline"]
    assert lines["experiment"].split()[-2:] == ["rank-1", "mAP"]
    assert "report: not written; `reid report` writes it" in shown
    assert {line["stage"] for line in json.loads(invoke("status", "--json"))} == {
        "ingest", "joints", "parts",
    }  # fmt: skip


def test_an_experiment_is_inspected_by_its_name(built: Project):
    found = json.loads(invoke("inspect", "toy-baseline", "--json"))
    assert found["state"] == "not trained"
    assert found["reads"] == {"ingest toy": "built", "parts toy": "built"}
    assert found["parameters"]["dataset"] == "toy"
    assert found["next"] == "reid train toy-baseline"
    assert "next: reid train toy-baseline" in invoke("inspect", "toy-baseline")
    with pytest.raises(ReidError, match="--sheet: toy-baseline is an experiment"):
        invoke("inspect", "toy-baseline", "--sheet", "sheet.png")
    shutil.rmtree(built.derived("parts", "toy"))
    assert json.loads(invoke("inspect", "toy-baseline", "--json"))["next"].startswith("dvc repro ")


@pytest.mark.parametrize(
    ("sheet", "said"), [("x.txt", "must end in .png"), ("params.yaml/x.png", "cannot be written")]
)
def test_a_sheet_that_cannot_be_written_is_one_line(toy: Project, sheet: str, said: str):
    invoke("ingest", "toy", "--executor", "local")
    with pytest.raises(ReidError, match=said):
        invoke("inspect", "toy", "--sheet", sheet)


def test_a_build_without_its_finished_work_is_not_said_to_have_other_input(toy: Project):
    invoke("ingest", "toy", "--executor", "local")
    shutil.rmtree(toy.work)
    for command in (["status"], ["plan", "ingest", "toy"]):
        assert "or its finished work is not in .work" in invoke(*command), command


def test_one_data_set_is_described():
    assert list(json.loads(invoke("datasets", "rap", "--json"))) == ["rap"]


@pytest.mark.parametrize("name", ["toy", "joints/toy", "parts/toy"])
def test_what_is_built_is_inspected_by_its_name(built: Project, name: str):
    found = json.loads(invoke("inspect", name, "--rows", "40", "--sheet", "sheet.png", "--json"))
    assert len(found["rows"]) == 40, "of more than one shard"
    sheet = images.decode(Path("sheet.png").read_bytes())
    Path("plain.png").unlink(missing_ok=True)
    invoke("inspect", "toy", "--rows", "40", "--sheet", "plain.png")
    plain = images.decode(Path("plain.png").read_bytes())
    assert sheet.shape == plain.shape
    assert (sheet != plain).any() == (name != "toy"), "joints and boxes are drawn over the images"


def test_backends_that_are_fitted_are_those_that_there_are():
    assert {*networks.BACKENDS} == {*LESSONS}


def test_stages_say_whether_they_make_data_sets():
    for name, listed in STAGES.items():
        assert listed.new_rows == find_stage(name).new_rows


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("r1", "rank-1"), ("rank1", "rank-1"), ("val_rank1", "val rank-1"), ("rank10", "rank-10"),
        ("chance r1", "chance rank-1"), ("chance_rank1", "chance rank-1"),
        ("paper, mars r1", "paper, mars rank-1"), ("person", "person"), ("rank", "rank"),
        ("map", "mAP"), ("val_map", "val mAP"), ("minp", "mINP"), ("mapped", "mapped"),
    ],
)  # fmt: skip
def test_rank_1_has_one_spelling(name: str, said: str):
    assert heading(name) == said


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (0.123456789, "0.1235"), (94.0, "94.0"), (86.63, "86.63"), (0.00035, "0.00035"), (12, "12"),
        (None, "None"), ([1.0, 0.123456789], "[1.0, 0.1235]"),
        ([[100.123456, 2.0]] * 9, "[" + "[100.1, 2.0], " * 4 + "..."),
    ],
)  # fmt: skip
def test_numbers_are_short(value, said: str):
    assert short(value) == said


@pytest.mark.parametrize(
    ("command", "missing", "extra"),
    [(["train", "toy-baseline"], "torch", "train"), (["report"], "matplotlib", "train"),
     (["search", "toy-baseline", "a.jpg"], "torch", "train"), (["claims"], "torch", "train")],
)  # fmt: skip
def test_a_base_install_says_which_extra_a_command_needs(toy: Project, command, missing, extra):
    for stage in ("ingest", "joints", "parts"):
        invoke(stage, "toy", "--executor", "local")
    hidden = f"import sys; sys.modules[{missing!r}] = None"
    done = reid(*command, patch=hidden)
    assert done.returncode == 2, done.stderr
    said = f'reid: {missing} is not installed; run `pip install ".[{extra}]"` in the checkout\n'
    assert done.stderr.endswith(said)
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("split", ["0", "1", "50", "-0.5"])
def test_a_share_that_is_none_is_one_line(toy: Project, split: str):
    with pytest.raises(ReidError, match=rf"--split: {split}, must be between 0 and 1"):
        invoke("add", "folder", "--root", ".", "--split", split)
