"""The Python of README.md and docs/ runs as it stands there, on a tiny data set of that name."""

from __future__ import annotations

import contextlib
import re
from pathlib import Path
from typing import Any

import pytest

from pipeline.commands.build import make_plan
from pipeline.engine import run as engine
from reid.project.layout import Project
from tests import pages
from tests.conftest import make_project
from tests.pages import Fence

SCALE = 'DATASET, MODEL, STEPS = "street", "resnet18", 500'
TINY = 'DATASET, MODEL, STEPS = "street", "resnet10t", 10'
OPTIONAL = (  # of the reader's own choice
    "pandas", "polars", "duckdb", "datasets", "ray", "timm", "lightning", "fiftyone",
)  # fmt: skip


def at(fence: Fence) -> str:
    return f"{fence.page}:{fence.line}"


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


def run(fence: Fence, street: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Run a block in the project's folder; the names that it leaves."""
    for name in set(re.findall(r"^import (\w+)", fence.text, re.MULTILINE)) & {*OPTIONAL}:
        pytest.importorskip(name)
    monkeypatch.chdir(street)
    monkeypatch.setenv("HF_HOME", str(street / "hf"))
    names: dict[str, Any] = {}
    try:
        exec(compile(fence.text.replace(SCALE, TINY), at(fence), "exec"), names)
    finally:
        if "import ray" in fence.text:  # it starts a cluster by itself
            import ray

            ray.shutdown()
    return names


@pytest.mark.filterwarnings("ignore")  # other tools' own
@pytest.mark.parametrize(
    "fence", [f for f in pages.fences("python") if SCALE not in f.text], ids=at
)
def test_a_block_of_python_runs(fence: Fence, street: Path, monkeypatch: pytest.MonkeyPatch):
    run(fence, street, monkeypatch)


def test_every_consumer_has_a_section_with_code():
    page = (pages.ROOT / "docs/consumers.md").read_text("utf-8")
    sections = re.split(r"^## ", page, flags=re.MULTILINE)[1:]
    with_code = {text.partition("\n")[0] for text in sections if "```python" in text}
    assert with_code >= {
        "PyTorch", "Lightning", "A timm model from the shards", "Hugging Face datasets", "DuckDB",
        "polars", "pandas", "pyarrow", "Ray Data", "FiftyOne",
    }  # fmt: skip


def test_every_tool_is_shown_in_three_lines():
    blocks = [f.text for f in pages.fences("python") if f.page == "docs/consumers.md"]
    shown = {
        name
        for name in ("pyarrow", "pandas", "polars", "duckdb", "datasets", "ray")
        for text in blocks
        if text.startswith(f"import {name}")
        and len([line for line in text.splitlines() if line]) <= 3
    }
    assert shown == {"pyarrow", "pandas", "polars", "duckdb", "datasets", "ray"}


@pytest.mark.filterwarnings("ignore")  # timm's own
def test_a_timm_model_trains_from_the_shards(street: Path, monkeypatch: pytest.MonkeyPatch):
    pytest.importorskip("timm")
    import torch

    (fence,) = [f for f in pages.fences("python") if SCALE in f.text]
    assert len(fence.text.splitlines()) <= 40
    left = run(fence, street, monkeypatch)
    assert left["step"] == 10
    assert torch.isfinite(left["loss"])
    saved = torch.load("timm.pt", weights_only=True)
    assert set(saved) == {"network", "loader"}
    left["loader"].load_state_dict(saved["loader"])
