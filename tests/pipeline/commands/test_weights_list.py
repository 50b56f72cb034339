"""The list of weights: every backend, every build that runs a network, nothing downloaded."""

import hashlib
import json
import sys
from pathlib import Path

import pytest

from pipeline.backends import checkpoints, choices, weights
from pipeline.backends.choices import NETWORKS
from pipeline.commands import weights_list
from pipeline.commands.weights_list import listing
from reid.project.errors import ReidError
from reid.project.layout import Project

PARAMS = """
masks:
  with: {backend: torchvision}
  on:
    mall: {backend: given, path: data/0-raw/mall.truth}
    mall-world: {dataset: mall, weights: world}
    market: {backend: ultralytics, weights: mine/yolo.safetensors}
crops:
  on:
    topview: {backend: depth}
flow:
  on:
    hall: {backend: dis}
    hall-kitti: {dataset: hall, weights: kitti}
    hall-random: {dataset: hall, weights: random}
"""


@pytest.fixture
def project(tmp_path, monkeypatch) -> Project:
    (tmp_path / "params.yaml").write_text(PARAMS)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setattr(choices, "WORLD", tmp_path / "world_weights")
    monkeypatch.setattr(weights, "address_of", lambda c: f"https://example.org/{c.model}-x.pth")
    monkeypatch.setattr(weights_list, "find_spec", lambda name: name != "detectron2" or None)
    monkeypatch.setattr(checkpoints, "download", lambda _: pytest.fail("nothing is downloaded"))
    return Project(tmp_path)


def lines_of(project: Project, **wanted) -> list[dict]:
    return [
        line for line in listing(project) if all(line[key] == wanted[key] for key in wanted)
    ]  # fmt: skip


def test_every_backend_and_every_build_with_a_network_has_its_line(project):
    found = lines_of(project, build="")
    own = [f"{line['stage']}_{line['backend']}" for line in found if line["weights"] != "world"]
    assert own == list(NETWORKS)
    assert [line["stage"] for line in found if line["weights"] == "world"] == [
        "masks", "joints", "crops", "flow",
    ]  # fmt: skip
    builds = [line for line in listing(project) if line["build"]]
    assert [(line["build"], line["model"], line["weights"]) for line in builds] == [
        ("mall-world", "maskrcnn_small", "world"),
        ("market", "yolo11n-seg", "mine/yolo.safetensors"),
        ("hall-kitti", "liteflownet", "kitti"),
        ("hall-random", "liteflownet", "random"),
    ]
    assert len({frozenset(line) for line in listing(project)}) == 1


def test_what_is_not_there(project, tmp_path):
    for line in listing(project):
        assert (line["there"], line["megabytes"], line["sha256"]) == (False, None, None)
    (line,) = lines_of(project, build="", backend="torchvision", stage="joints")
    assert line["address"] == "https://example.org/keypointrcnn_resnet50_fpn-x.pth"
    folder = tmp_path / "torch" / "hub" / "checkpoints"
    assert line["file"] == str(folder / "keypointrcnn_resnet50_fpn-x.pth")
    (line,) = lines_of(project, build="hall-random")
    assert (line["file"], line["address"], line["licence"]) == ("", "", "")
    assert not (tmp_path / "data").exists()


def test_what_is_there_has_its_size_and_hash(project, tmp_path):
    world = tmp_path / "world_weights" / "masks_torchvision.safetensors"
    mine = tmp_path / "mine" / "yolo.safetensors"
    for path, count in ((world, 1_260_000), (mine, 40_000)):
        path.parent.mkdir()
        path.write_bytes(b"w" * count)
    for build, path, megabytes in (("mall-world", world, 1.3), ("market", mine, 0.0)):
        (line,) = lines_of(project, build=build)
        assert (line["file"], line["there"], line["megabytes"]) == (str(path), True, megabytes)
        assert line["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()


def test_what_is_pinned_is_known_without_its_library(project, tmp_path, monkeypatch):
    pin = {"address": "https://example.org/r50.pkl", "file": "r50.pkl", "bytes": 177_841_981,
           "sha256": "ab" * 32}  # fmt: skip
    (tmp_path / "data").mkdir()
    key = f"masks detectron2 {NETWORKS['masks_detectron2'].model}"
    (tmp_path / "data" / "weights.json").write_text(json.dumps({key: pin}))
    (line,) = lines_of(project, backend="detectron2")
    assert (line["megabytes"], line["there"]) == (177.8, False)
    assert (line["sha256"], line["address"]) == (pin["sha256"], pin["address"])


def test_a_missing_library_and_a_model_without_weights_are_said(project, monkeypatch):
    (line,) = lines_of(project, backend="detectron2")
    assert (line["address"], line["file"]) == ("needs detectron2", "")

    def none(choice):
        raise ReidError("crops.weights: none")

    monkeypatch.setattr(weights, "address_of", none)
    (line,) = lines_of(project, backend="ultralytics", stage="crops", weights="pretrained")
    assert (line["address"], line["file"]) == ("crops.weights: none", "")


def test_licences_are_those_of_the_weights(project):
    found = {
        (line["stage"], line["backend"], line["weights"]): line["licence"]
        for line in listing(project)
    }
    assert found["masks", "torchvision", "world"] == "Apache-2.0, this project's"
    assert found["masks", "torchvision", "pretrained"].startswith("BSD-3-Clause")
    assert found["crops", "ultralytics", "pretrained"].startswith("AGPL-3.0")
    assert "research only" in found["flow", "ptlflow", "things"]
    assert found["masks", "ultralytics", "mine/yolo.safetensors"] == "the file's own"


def test_the_real_libraries_offer_what_they_can(tmp_path, monkeypatch):
    """No stand-ins: a line is an address, or says in one line why there is none."""
    pytest.importorskip("torchvision")
    (tmp_path / "params.yaml").write_text("masks: {}\n")
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setitem(sys.modules, "ptlflow", None)
    monkeypatch.setitem(sys.modules, "ultralytics", None)
    for line in listing(Project(tmp_path)):
        if line["weights"] != "world":
            assert line["address"].startswith(("https://", "needs ")), line
            assert line["there"] == Path(line["file"] or "away").is_file()


def test_trainings_have_theirs(project, tmp_path, monkeypatch):
    text = """
strong_baseline:
  on:
    full: {dataset: mine}
    small: {dataset: mine, weights: ''}
    own: {dataset: mine, weights: mine.safetensors}
multimodal_attention:
  on:
    mat: {dataset: top}
    crowd: {dataset: top, weights: world}
"""
    (tmp_path / "params.yaml").write_text(PARAMS + text)
    (tmp_path / "mine.safetensors").write_bytes(b"w" * 200_000)
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    found = {line["build"]: line for line in lines_of(project, stage="train")}
    assert list(found) == ["full", "small", "own", "mat", "crowd"]
    full, small, own, mat, crowd = found.values()
    assert full["address"].startswith("https://huggingface.co/timm/resnet50.tv_in1k/")
    assert (full["model"], full["weights"]) == ("resnet50.tv_in1k", "pretrained")
    assert (small["weights"], small["address"], small["file"]) == ("none: from scratch", "", "")
    assert (own["there"], own["megabytes"]) == (True, 0.2)
    assert own["sha256"] == hashlib.sha256(b"w" * 200_000).hexdigest()
    assert (mat["backend"], mat["there"]) == ("multimodal_attention", False)
    assert (crowd["weights"], crowd["licence"]) == ("world", "Apache-2.0, this project's")
    assert crowd["file"].endswith("reid/nn/world_trunks/multimodal_attention.safetensors")
    assert len({frozenset(line) for line in listing(project)}) == 1
