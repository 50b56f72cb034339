"""The code in README.md runs as it stands there, on a tiny data set of the same name."""

from __future__ import annotations

import contextlib
import re
from pathlib import Path
from typing import Any

import pytest

from pipeline.commands.build import make_plan
from pipeline.engine import run as engine
from reid.project.layout import Project
from tests.conftest import make_project

README = (Path(__file__).parent.parent / "README.md").read_text()
SCALE = 'DATASET, MODEL, STEPS = "street", "resnet18", 500'
TINY = 'DATASET, MODEL, STEPS = "street", "resnet10t", 10'


def block(marker: str) -> str:
    """The fenced Python block behind `<!-- tested: marker -->`."""
    found = re.findall(rf"<!-- tested: {marker} -->\n+```python\n(.*?)```", README, re.DOTALL)
    assert len(found) == 1, marker
    return found[0]


def readers() -> list[Any]:
    """Each tool's lines: they begin with its import."""
    parts = re.split(r"\n\n(?=import )", block("readers").strip())
    return [pytest.param(part, id=part.split()[1]) for part in parts]


@pytest.fixture(scope="module")
def street(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny data set that is called street, with its parts."""
    root = make_project(tmp_path_factory.mktemp("readme") / "project").root
    (root / "data/0-raw/toy").rename(root / "data/0-raw/street")
    (root / "params.yaml").write_text((root / "params.yaml").read_text().replace("toy", "street"))
    with contextlib.chdir(root):
        for stage in ("ingest", "joints", "parts"):
            engine.run(
                make_plan(stage, "street", Project(Path())), Project(Path()), executor="local"
            )
    return root


@pytest.mark.filterwarnings("ignore")  # other tools' own
@pytest.mark.parametrize("code", readers())
def test_a_tool_reads_the_shards(code: str, street: Path, monkeypatch: pytest.MonkeyPatch):
    assert len([line for line in code.splitlines() if line]) <= 3
    pytest.importorskip(code.split()[1])
    monkeypatch.chdir(street)
    monkeypatch.setenv("HF_HOME", str(street / "hf"))
    try:
        exec(compile(code, "README.md", "exec"), {})
    finally:
        if code.startswith("import ray"):  # it starts a cluster by itself
            import ray

            ray.shutdown()


@pytest.mark.filterwarnings("ignore")  # timm's own
def test_a_timm_model_trains_from_the_shards(street: Path, monkeypatch: pytest.MonkeyPatch):
    pytest.importorskip("timm")
    import torch

    code = block("timm")
    assert len(code.splitlines()) <= 40
    assert code.count(SCALE) == 1
    monkeypatch.chdir(street)
    found: dict[str, Any] = {}
    exec(compile(code.replace(SCALE, TINY), "README.md", "exec"), found)
    assert found["step"] == 10
    assert torch.isfinite(found["loss"])
    saved = torch.load("timm.pt", weights_only=True)
    assert set(saved) == {"network", "loader"}
    found["loader"].load_state_dict(saved["loader"])
