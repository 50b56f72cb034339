"""Which heavy libraries each command may load: a start of Python costs what it imports.

One process runs the commands one after another, those that may load least first. Each is checked
against all that the groups up to its own may load.
"""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from reid import experiments
from reid.evaluation.evaluate import evaluate
from reid.project.layout import Project
from reid.training.train import train
from tests.tiny import build_tiny

HEAVY = (
    "torch", "torchvision", "timm", "lightning", "scipy", "sklearn", "matplotlib", "duckdb",
    "pandas", "pyarrow.dataset", "polars", "datasets", "ray", "ultralytics", "mmpose", "ptlflow",
    "onnx",
)  # fmt: skip
Commands = tuple[str, ...]
NOTHING: Commands = (  # what is done is found to be done
    "datasets", "gc", "tables", "plan parts street",
    "parts street", "backgrounds mall", "swaps mall",
    "crops topview", "jet topview-crops", "flow hall", "train street-baseline",
    "evaluate street-baseline", "scan street",
)  # fmt: skip
FORMATS: Commands = (  # MATLAB's files are read by scipy, Parquet tables of given data by pyarrow
    "status", "verify", "inspect street", "accuracy masks mall", "world street", "ingest street",
    "joints street", "masks mall",
)  # fmt: skip
TORCH: Commands = (
    "summary attention_driven", "rehearse street-baseline --steps 1",
    "features street-baseline street",
    "export features street-baseline features.parquet", "score features.parquet",
)  # fmt: skip
TIMM: Commands = ("rehearse hall-one-stream --steps 1",)
MATPLOTLIB: Commands = ("report",)
LIBRARIES: Commands = ("weights",)  # asks those that are installed
GROUPS = (
    (NOTHING, {"pandas"}),  # pyarrow loads it, where it is there, for any list
    (FORMATS, {"scipy", "pyarrow.dataset"}),
    (TORCH, {"torch"}),
    (TIMM, {"timm", "torchvision"}),
    (MATPLOTLIB, {"matplotlib"}),
    (LIBRARIES, {*HEAVY}),
)
RUN = """
import json, sys
from pipeline.commands.main import app
heavy, commands = json.loads(sys.argv[1])
for command in commands:
    before = {name for name in heavy if name in sys.modules}
    try:
        status = app(command.split(), standalone_mode=False)
    except BaseException as error:
        status = repr(error)
    loaded = [name for name in heavy if name in sys.modules and name not in before]
    print("\\n" + json.dumps(["RAN", command, status, loaded]), flush=True)
"""


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """The tiny worlds with all stages, and one experiment trained and evaluated."""
    made = build_tiny(tmp_path_factory.mktemp("imports") / "project")
    experiment = experiments.load(made, "street-baseline")
    train(experiment, made, device="cpu")
    evaluate(experiment, made, device="cpu")
    return made


@pytest.mark.slow
def test_what_each_command_loads(project: Project):
    commands = [command for group, _ in GROUPS for command in group]
    asked = json.dumps([HEAVY, commands])
    run = subprocess.run(
        [sys.executable, "-c", RUN, asked], cwd=project.root, capture_output=True, text=True
    )
    ran = [json.loads(line) for line in run.stdout.splitlines() if line.startswith('["RAN"')]
    assert [command for _, command, _, _ in ran] == commands, run.stderr
    failed = {command: status for _, command, status, _ in ran if status not in (None, 0)}
    assert not failed, run.stderr
    may, more_than_said = set[str](), dict[str, set[str]]()
    loads = {command: set(loaded) for _, command, _, loaded in ran}
    for group, more in GROUPS:
        may |= more
        for command in group:
            if not loads[command] <= may:
                more_than_said[command] = loads[command] - may
    assert not more_than_said
    assert any(loads[c] for c in TORCH), "and what is looked for is seen"
