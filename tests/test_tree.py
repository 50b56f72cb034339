"""The tree tests itself: what a stage, a data set and a paper need is all there."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from pipeline import datasets
from pipeline.stages import STAGES
from pipeline.stages import stage as find_stage
from reid.papers import PAPERS, paper_of
from reid.shards.schema import ROW

ROOT = Path(__file__).parent.parent
PARAMS = YAML(typ="safe").load(ROOT / "params.yaml")
FLOW = YAML(typ="safe").load(ROOT / "dvc.yaml")["stages"]


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_has_its_file_section_flow_output_and_test(stage: str):
    of = find_stage(stage)
    for build in PARAMS[stage]["on"].values():
        assert build["dataset"], "DVC reads it from here"
    flow = FLOW[stage]["do"]
    assert flow["cmd"] == f"reid {stage} ${{key}}"
    assert flow["outs"] == [f"data/2-derived/{stage}/${{key}}"]
    assert f"pipeline/stages/{stage}.py" in flow["deps"]
    for name in {*of.reads_of(of.params(), ROW.names)} - {"rows"}:
        paths = {f"data/2-derived/{name}/${{item.{of}}}" for of in ("dataset", f"builds.{name}")}
        assert paths & {*flow["deps"]}
    assert (ROOT / "tests/pipeline/stages" / f"test_{stage}.py").is_file()


def test_every_stage_file_is_in_the_list():
    files = {p.stem for p in (ROOT / "pipeline/stages").glob("*.py")} - {"__init__", "ingest"}
    assert files == set(STAGES)


@pytest.mark.parametrize("name", datasets.READERS)
def test_a_data_set_reads_writes_describes_itself_and_has_a_test(name: str):
    reader = datasets.reader(name)
    assert reader.info.layout
    shared = name.rpartition("_")[0]  # cuhk03_labeled and cuhk03_detected are one file's
    tests = {p.name for p in (ROOT / "tests/pipeline/datasets").iterdir()}
    assert {f"test_{name}.py", f"test_{shared}.py"} & tests


@pytest.mark.parametrize("paper", PAPERS)
def test_a_paper_has_its_parts_section_flow_and_test(paper: str):
    assert paper_of(paper).name == paper
    told = ast.get_docstring(ast.parse((ROOT / "reid/papers" / paper / "paper.py").read_text()))
    assert "Source" in str(told)
    assert "Differs" in str(told)
    assert "on" in PARAMS[paper]
    for stage in (paper, f"{paper}_evaluate"):
        assert f"reid/papers/{paper}" in FLOW[stage]["do"]["deps"]
    assert (ROOT / "tests/reid/papers" / paper / "test_paper.py").is_file()


def test_paths_in_the_flow_exist():
    for name, stage in FLOW.items():
        for dep in stage.get("do", stage)["deps"]:
            if "$" not in dep and not dep.startswith("data/"):
                assert (ROOT / dep).exists(), f"{name}: {dep}"


def test_help_loads_no_heavy_library():
    heavy = "{'torch', 'pyarrow', 'cv2', 'scipy', 'matplotlib', 'pandas', 'pydantic'}"
    code = f"import sys, pipeline.commands.main; print(sorted({heavy} & set(sys.modules)))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"


def imported(path: Path) -> set[str]:
    """The modules of this project that a file imports, anywhere in it."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return {name for name in found if name.split(".")[0] in ("pipeline", "reid", "tests")}


def test_the_library_never_imports_the_builder():
    """But for `python -m reid`, which starts the builder's command line."""
    for path in sorted((ROOT / "reid").rglob("*.py")):
        if path.name != "__main__.py":
            foreign = {n for n in imported(path) if n.split(".")[0] != "reid"}
            assert not foreign, f"{path.relative_to(ROOT)}: {sorted(foreign)}"
