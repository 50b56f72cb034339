"""The tree tests itself: what a stage, a data set and a paper need is all there."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from pipeline import datasets
from pipeline.core.stage import module
from pipeline.derive import STAGES
from reid.experiments import paper_module
from reid.papers import PAPERS

ROOT = Path(__file__).parent.parent
PARAMS = YAML(typ="safe").load(ROOT / "params.yaml")
FLOW = YAML(typ="safe").load(ROOT / "dvc.yaml")["stages"]


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_has_its_file_section_flow_output_and_test(stage: str):
    code = module(stage)
    assert {"VERSION", "READS", "SCHEMA", "Params", "build"} <= set(vars(code))
    for build in PARAMS[stage]["on"].values():
        assert build["dataset"], "DVC reads it from here"
    flow = FLOW[stage]["do"]
    assert flow["cmd"] == f"reid {stage} ${{key}}"
    assert flow["outs"] == [f"data/2-derived/{stage}/${{key}}"]
    assert f"pipeline/derive/{stage}.py" in flow["deps"]
    for name in {*code.READS} - {"rows"}:
        paths = {f"data/2-derived/{name}/${{item.{of}}}" for of in ("dataset", f"builds.{name}")}
        assert paths & {*flow["deps"]}
    assert (ROOT / "tests/pipeline" / f"test_{stage}.py").is_file()


def test_every_stage_file_is_in_the_list():
    files = {p.stem for p in (ROOT / "pipeline/derive").glob("*.py")} - {"__init__"}
    assert files == set(STAGES)


@pytest.mark.parametrize("name", datasets.READERS)
def test_a_data_set_reads_writes_describes_itself_and_has_a_test(name: str):
    reader = datasets.reader(name)
    assert {"read", "write", "INFO"} <= set(vars(reader))
    shared = name.rpartition("_")[0]  # cuhk03_labeled and cuhk03_detected are one file's
    tests = {p.name for p in (ROOT / "tests/pipeline").iterdir()}
    assert {f"test_{name}.py", f"test_{shared}.py"} & tests


@pytest.mark.parametrize("paper", PAPERS)
def test_a_paper_has_its_parts_section_flow_and_test(paper: str):
    code = paper_module(paper)
    needed = "VERSION STAGES TEST_ONLY COLUMNS HEADLINE TABLES Params view sampler augment"
    needed += " normalize build loss training_logits embed optimizer learning_rate"
    assert set(needed.split()) <= set(vars(code))
    assert "Source" in str(code.__doc__)
    assert "Differs" in str(code.__doc__)
    assert "on" in PARAMS[paper]
    for stage in (paper, f"{paper}_evaluate"):
        assert f"reid/papers/{paper}.py" in FLOW[stage]["do"]["deps"]
    assert (ROOT / "tests/reid" / f"test_{paper}.py").is_file()


def test_paths_in_the_flow_exist():
    for name, stage in FLOW.items():
        for dep in stage.get("do", stage)["deps"]:
            if "$" not in dep and not dep.startswith("data/"):
                assert (ROOT / dep).exists(), f"{name}: {dep}"


def test_help_loads_no_heavy_library():
    heavy = "{'torch', 'pyarrow', 'cv2', 'scipy', 'matplotlib', 'pandas', 'pydantic'}"
    code = f"import sys, reid.cli; print(sorted({heavy} & set(sys.modules)))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("package", "may"), [("pipeline", {"pipeline"}), ("reid", {"pipeline", "reid"})]
)
def test_imports_run_one_way(package: str, may: set[str]):
    """pipeline never imports reid; reid imports pipeline.core alone, but for the command line."""
    commands = {"reid/cli.py", "reid/cli_look.py", "reid/cli_export.py"}
    allowed = {*commands, "reid/bench.py", "reid/bench_training.py"}
    for path in sorted((ROOT / package).rglob("*.py")):
        name = path.relative_to(ROOT).as_posix()
        for line in path.read_text().splitlines():
            words = line.split()
            if len(words) > 1 and words[0] in ("from", "import"):
                top, _, rest = words[1].partition(".")
                if top in ("pipeline", "reid"):
                    assert top in may, f"{name}: {line}"
                if package == "reid" and top == "pipeline" and name not in allowed:
                    assert rest.startswith("core"), f"{name}: {line}"
