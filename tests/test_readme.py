"""The Python of README.md and docs/ runs as it stands there, on a tiny data set of that name."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import re
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import reid
from pipeline.commands.build import make_plan
from pipeline.engine import run as engine
from reid.project.layout import Project
from tests import pages
from tests.conftest import make_project
from tests.pages import Fence
from tests.tiny import build_tiny

SCALE = 'DATASET, MODEL, STEPS = "street", "resnet18", 500'
TINY = 'DATASET, MODEL, STEPS = "street", "resnet10t", 10'
DATABASE = "dataset = fiftyone.Dataset"  # from here on a block needs MongoDB
OPTIONAL = (  # of the reader's own choice
    "pandas", "polars", "duckdb", "datasets", "ray", "timm", "lightning",
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
    "fence",
    [f for f in pages.fences("python") if SCALE not in f.text and DATABASE not in f.text],
    ids=at,
)
def test_a_block_of_python_runs(fence: Fence, street: Path, monkeypatch: pytest.MonkeyPatch):
    run(fence, street, monkeypatch)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # its own libraries'
def test_fiftyone_shows_what_is_built(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    spec = importlib.util.find_spec("fiftyone")
    if spec is None or spec.origin is None:
        pytest.skip("fiftyone is not installed")
    (fence,) = [f for f in pages.fences("python") if DATABASE in f.text]
    root = build_tiny(tmp_path / "project").root
    street = reid.open(root / "data", "street")
    query, gallery = (
        street.role(role).rows["image_id"].to_pylist() for role in ("query", "gallery")
    )
    ranked = root / "data/3-runs/street-baseline/evaluate/ranked.parquet"
    ranked.parent.mkdir(parents=True)
    pq.write_table(pa.table({"query": query[:1], "gallery": [gallery[:3]]}), ranked)
    mongod = Path(spec.origin).parent / "db/bin/mongod"
    database = mongod.is_file() or "FIFTYONE_DATABASE_URI" in os.environ
    if not database:
        monkeypatch.setenv("FIFTYONE_DISABLE_SERVICES", "1")
    monkeypatch.chdir(root)
    names: dict[str, Any] = {}
    text = fence.text if database else fence.text.partition(DATABASE)[0]
    exec(compile(text, at(fence), "exec"), names)
    by_tag = {sample.tags[0]: sample for sample in names["found"]}
    assert set(by_tag) == {"street", "mall", "crops/topview"}
    assert len(by_tag["street"].joints.keypoints[0].points) == 18
    assert len(by_tag["street"].parts.detections) == 5
    assert by_tag["mall"].mask.mask.any()
    assert all(Path(sample.filepath).is_file() for sample in names["found"])
    if not database:
        pytest.skip("run as far as the samples: there is no MongoDB for `fiftyone.Dataset`")
    assert names["view"].values("image_id") == [*query[:1], *gallery[:3]]


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
