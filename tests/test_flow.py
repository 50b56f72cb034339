"""The whole DVC flow on a tiny world in a clone: it runs, stays quiet, and reruns what it must."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.copies import copy_project

WHO = ("-c", "user.name=tests", "-c", "user.email=tests@localhost")
TINY = """\
run: {executor: pool, workers: 2}
world:
  with: {train_identities: 4, images_min: 3, images_max: 3}
  on:
    street: {scene: street, layout: market1501, cameras: 2, test_identities: 3}
    mall: {scene: mall, layout: rap, training_cameras: 2, test_cameras: 2, test_identities: 3}
    topview: {scene: topview, layout: tvpr}
    hall: {scene: hall, layout: ilids_vid, images_min: 5, images_max: 6}
ingest:
  with: {}
  on:
    street: {reader: market1501}
    mall: {reader: rap}
    topview: {reader: tvpr}
    hall: {reader: ilids_vid}
joints:
  with: {}
  on:
    street: {dataset: street, backend: given, path: data/0-raw/street.truth, max_reject_rate: 0.5}
parts:
  with: {beta: 0.1}
  on:
    street: {dataset: street, canonical_poses: 3}
masks:
  with: {}
  on:
    mall: {dataset: mall, backend: given, path: data/0-raw/mall.truth, max_reject_rate: 0.5}
backgrounds:
  with: {side: 64}
  on:
    mall: {dataset: mall}
    mall-any: {dataset: mall, same_viewpoint: false, area_ratio: 0, iou: 0}
swaps:
  with: {}
  on:
    mall: {dataset: mall, builds: {backgrounds: mall-any}}
crops:
  with: {}
  on:
    topview: {dataset: topview, backend: depth, max_reject_rate: 0.5}
jet:
  with: {}
  on:
    topview-crops: {dataset: crops/topview, rows: 2-derived/crops/topview}
flow:
  with: {}
  on:
    hall: {dataset: hall, backend: dis}
    hall-lucas-kanade: {dataset: hall, backend: lucas_kanade}
accuracy:
  on:
    masks-mall: {stage: masks, build: mall, world: mall}
    crops-topview: {stage: crops, build: topview, world: topview}
    flow-hall: {stage: flow, build: hall-lucas-kanade, world: hall}
attention_driven:
  with: {seed: 0}
  scale:
    street:
      {height: 64, width: 32, part_height: 32, part_width: 32, width_scale: 0.25, epochs: 1,
       batch: 8}
  on:
    street-baseline: {dataset: street, model: baseline}
    street-intra-inter: {dataset: street, model: intra_inter}
implicit_attention:
  with: {seed: 0}
  scale:
    mall:
      {backbone: resnet18, channels: [8, 8, 16, 16], weights: '', height: 32, width: 32, epochs: 1,
       batch: 8, images: 2}
  on:
    mall-swaps: {dataset: mall, swap_probability: 0.5, builds: {backgrounds: mall-any}}
strong_baseline: {with: {}, scale: {}, on: {}}
multimodal_attention:
  with: {seed: 0}
  scale:
    crops/topview:
      {resized: 72, side: 67, width_scale: 0.0625, pixel_scale: 0.03, encoder_epochs: 1,
       encoder_batch: 8, fusion_epochs: 1, fusion_batch: 8, pool: max}
  on:
    topview-mat:
      {dataset: crops/topview, rows: 2-derived/crops/topview, builds: {jet: topview-crops}}
mutual_attention:
  with: {seed: 0}
  scale:
    hall:
      {backbone: resnet18, channels: [8, 8, 16, 16], weights: '', height: 32, width: 32, epochs: 1,
       sequence_length: 2, identities: 2, tracklets: 2, builds: {flow: hall}}
  on:
    hall-one-stream: {dataset: hall, builds: {flow: hall}, model: one_stream, aggregation: average}
    hall-mutual: {dataset: hall, builds: {flow: hall}}
attentive_convlstm:
  with: {seed: 0}
  scale:
    hall: {epochs: 1, length: 4, channels: [4, 8, 8], filters: 8, feature: 16}
  on:
    hall-convlstm: {dataset: hall, builds: {flow: hall-lucas-kanade}}
"""


def dvc(*arguments: str, cwd: Path) -> str:
    """Run DVC with this environment's commands first on the path."""
    binaries = str(Path(sys.executable).parent)
    environment = {**os.environ, "PATH": f"{binaries}{os.pathsep}{os.environ['PATH']}"}
    run = subprocess.run(
        [f"{binaries}/dvc", *arguments], cwd=cwd, env=environment, capture_output=True, text=True,
        timeout=3600,
    )  # fmt: skip
    assert run.returncode == 0, run.stdout + run.stderr
    return run.stdout + run.stderr


def ran(output: str) -> set[str]:
    return set(re.findall(r"Running stage '([^']+)'", output))


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project's own files in a new git repository, with a tiny world."""
    folder = tmp_path_factory.mktemp("flow") / "clone"
    copy_project(folder)
    (folder / "params.yaml").write_text(TINY)
    for arguments in (["init", "-q"], ["add", "--all"], [*WHO, "commit", "-qm", "a tiny world"]):
        subprocess.run(["git", *arguments], cwd=folder, check=True)
    return folder


@pytest.mark.slow
def test_the_flow(clone: Path):
    first = ran(dvc("repro", cwd=clone))
    stages = {f"{s}@street" for s in ("world", "ingest", "joints", "parts")}
    experiments = {
        f"{stage}@street-{name}"
        for stage in ("attention_driven", "attention_driven_evaluate")
        for name in ("baseline", "intra-inter")
    }
    mall = {f"{s}@mall" for s in ("world", "ingest", "masks", "backgrounds", "swaps")}
    swapped = {f"implicit_attention{stage}@mall-swaps" for stage in ("", "_evaluate")}
    mall |= {"backgrounds@mall-any", *swapped}
    above = {f"{s}@topview" for s in ("world", "ingest", "crops")} | {"jet@topview-crops"}
    above |= {f"multimodal_attention{stage}@topview-mat" for stage in ("", "_evaluate")}
    hall = {"world@hall", "ingest@hall", "flow@hall", "flow@hall-lucas-kanade"}
    papers = {"one-stream": "mutual_attention", "mutual": "mutual_attention"}
    papers |= {"convlstm": "attentive_convlstm"}
    for name, paper in papers.items():
        hall |= {f"{paper}@hall-{name}", f"{paper}_evaluate@hall-{name}"}
    measured = {f"accuracy@{name}" for name in ("masks-mall", "crops-topview", "flow-hall")}
    assert first == stages | experiments | mall | above | hall | measured | {"report"}
    metrics = json.loads(
        (clone / "data/3-runs/street-intra-inter/evaluate/metrics.json").read_text()
    )
    assert 0 <= metrics["rank1"] <= 1
    assert metrics["queries"] > 0
    exact = json.loads((clone / "data/4-reports/accuracy/masks-mall.json").read_text())
    assert exact["numbers"]["iou"] == 1, "the masks are the truth's"
    page = (clone / "data/4-reports/report.html").read_text()
    assert "Crops topview" in page
    assert "street-intra-inter" in page
    assert str(clone) not in page

    assert ran(dvc("repro", cwd=clone)) == set(), "nothing changed, so nothing runs"
    command = ["git", "status", "--porcelain"]
    assert subprocess.run(command, cwd=clone, check=True, capture_output=True).stdout == b""

    change(clone, "beta: 0.1}", "beta: 0.05}")
    after_parts = {"parts@street", *experiments, "report"}
    assert ran(dvc("repro", cwd=clone)) == after_parts

    section = "ingest:\n  with: {}\n  on:\n"
    change(clone, section, section + "    again: {reader: market1501}\n")
    shutil.copytree(clone / "data/0-raw/street", clone / "data/0-raw/again")
    shutil.copy(clone / "data/0-raw/street.json", clone / "data/0-raw/again.json")
    assert ran(dvc("repro", cwd=clone)) == {"ingest@again", "report"}


def change(clone: Path, old: str, new: str) -> None:
    path = clone / "params.yaml"
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))
