"""Exported networks: equal to the eager ones, of every paper; what network.json says is so."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from torch import Tensor

from reid import experiments
from reid.evaluation.features import trained_network
from reid.experiments import params_model
from reid.export.network import (
    CHECKED,
    TOLERANCE,
    TestFeature,
    _atan2,
    export_network,
    frames_of,
    save_onnx,
    trace,
)
from reid.papers import PAPERS, paper_of
from reid.project.errors import ReidError
from reid.project.layout import Project, sha256_of
from reid.shards.folder import Shard
from tests.conftest import contents
from tests.reid.papers.tiny import TINY, rows, shaken

pytestmark = pytest.mark.filterwarnings(
    "ignore::UserWarning", "ignore::FutureWarning", "ignore::DeprecationWarning"
)

OPEN_BATCH = {"implicit_attention", "strong_baseline", "multimodal_attention", "mutual_attention"}


def tiny(paper: str, **further: Any) -> tuple[TestFeature, dict[str, Tensor]]:
    """A network with random weights and `CHECKED` samples of noise."""
    code = paper_of(paper).method()
    params = params_model(paper)(dataset="none", **{**TINY[paper], **further})
    torch.manual_seed(0)
    network = shaken(code.build(params, 5)).eval()
    module = TestFeature(code, params, network, torch.tensor([100.0, 110.0, 120.0])).eval()
    clips = paper_of(paper).clips(params)
    shape = (CHECKED, frames_of(clips)) if clips else (CHECKED,)
    random = np.random.default_rng(0)
    views = [code.view(params, row["image"], row) for row in rows(random, int(np.prod(shape)))]
    stacked = {n: torch.from_numpy(np.stack([v[n] for v in views])) for n in views[0]}
    return module, {name: values.unflatten(0, shape) for name, values in stacked.items()}


SLOW = ("attention_driven", "attentive_convlstm")  # to trace


@pytest.mark.parametrize(
    "paper", [pytest.param(p, marks=pytest.mark.slow if p in SLOW else ()) for p in PAPERS]
)
def test_an_exported_network_is_the_eager_one(paper: str):
    """On other samples than it was traced and checked with."""
    module, samples = tiny(paper)
    clips = paper_of(paper).clips(module.params)
    traced = trace(module, samples, clips, paper)
    assert traced.difference <= TOLERANCE
    assert (0 in traced.axes) or paper not in OPEN_BATCH
    others = {name: values.flip(0)[: 2 if 0 in traced.axes else 1]
              for name, values in samples.items()}  # fmt: skip
    with torch.no_grad():
        eager, exported = module(others), traced.program.module()(others)
    assert eager.std() > 0
    torch.testing.assert_close(exported, eager, rtol=0, atol=TOLERANCE * float(eager.abs().max()))


def test_words_for_every_paper_s_inputs():
    for paper in PAPERS:
        code = paper_of(paper).method()
        params = params_model(paper)(dataset="none", **TINY[paper])
        row = rows(np.random.default_rng(0), 1)[0]
        assert code.describe(params).inputs.keys() == code.view(params, row["image"], row).keys()


def test_a_network_that_torch_cannot_trace_is_one_line(monkeypatch: pytest.MonkeyPatch):
    module, samples = tiny("strong_baseline")

    def embed(network: Any, params: Any, batch: dict[str, Tensor]) -> Tensor:
        feature = network(batch)["after"]
        return feature if float(feature.sum()) > 0 else -feature  # depends on values

    module.method = replace(module.method, embed=embed)
    with pytest.raises(ReidError, match=r"mine: torch\.export cannot trace this network") as error:
        trace(module, samples, None, "mine")
    assert "\n" not in str(error.value)


def test_a_program_that_differs_from_its_network_is_not_written(monkeypatch: pytest.MonkeyPatch):
    module, samples = tiny("strong_baseline")
    monkeypatch.setattr("reid.export.network._difference", lambda *_: float("nan"))
    with pytest.raises(ReidError, match="features differ by nan"):
        trace(module, samples, None, "mine")


@pytest.mark.parametrize("paper", ["strong_baseline", "mutual_attention"])
def test_onnx_gives_the_same_features(tmp_path: Path, paper: str):
    pytest.importorskip("onnxscript")
    runtime = pytest.importorskip("onnxruntime")
    module, samples = tiny(paper)
    traced = trace(module, samples, paper_of(paper).clips(module.params), "mine")
    path = tmp_path / "network.onnx"
    assert save_onnx(traced, samples, path) == ""
    session = runtime.InferenceSession(str(path))
    assert [value.name for value in session.get_inputs()] == [*samples]
    for count in (1, 3):
        tried = {name: values[:count] for name, values in samples.items()}
        (feature,) = session.run(["feature"], {n: v.numpy() for n, v in tried.items()})
        with torch.no_grad():
            eager = module(tried).numpy()
        np.testing.assert_allclose(feature, eager, atol=1e-4 * np.abs(eager).max())


def test_atan2_is_right_where_a_quotient_has_no_sign():
    """-0.0 too: half of all pixels that move straight up or down have it."""
    values = torch.tensor([-2.0, -0.0, 0.0, 3.0])
    y, x = torch.meshgrid(values, values, indexing="ij")
    angle, expected = _atan2(y, x), torch.atan2(y, x)
    moving = (x != 0) | (y != 0)
    turn = (angle - expected)[moving] / (2 * torch.pi)  # whole turns are the same direction
    torch.testing.assert_close(turn, turn.round())


@pytest.fixture(scope="module")
def exported(trained: Project, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("exported") / "baseline"
    export_network(experiments.load(trained, "toy-baseline"), trained, out)
    return out


def test_what_network_json_says_leads_to_the_published_features(trained: Project, exported: Path):
    """By nothing but the file, OpenCV and torch: as somebody without this project would do it."""
    description = json.loads((exported / "network.json").read_text())
    experiment = experiments.load(trained, "toy-baseline")
    row = experiment.open(trained).role("query")[0]
    sizes = {value["name"]: value["shape"] for value in description["inputs"]}
    image, (height, width) = row["image"], sizes["whole"][1:3]
    shrinks = image.shape[0] >= height and image.shape[1] >= width
    assert f"resized to {height} x {width}" in description["inputs"][0]["made"]
    method = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    whole = cv2.resize(image, (width, height), interpolation=method)
    four = [cv2.resize(part, sizes["parts"][3:1:-1], interpolation=cv2.INTER_LINEAR)
            for part in np.split(image, 4)]  # fmt: skip
    samples = {
        "whole": torch.from_numpy(whole)[None],
        "parts": torch.from_numpy(np.stack(four))[None],
    }
    program = torch.export.load(exported / "network.pt2").module()
    with torch.no_grad():
        feature = program(samples)[0].numpy()
    published = Shard(trained.run("toy-baseline") / "evaluate/features.parquet").table()
    ids = published["image_id"].to_pylist()
    expected = np.array(published["feature"][ids.index(row["image_id"])].as_py())
    np.testing.assert_allclose(feature, expected, atol=1e-5)
    assert description["output"]["shape"][1] == len(expected)
    assert description["output"]["distance"] == "cosine"


def test_the_files_are_named_with_their_content(trained: Project, exported: Path):
    description = json.loads((exported / "network.json").read_text())
    assert "network.pt2" in description["files"]
    for name, digest in description["files"].items():
        assert sha256_of(exported / name) == digest
    assert description["difference"] <= TOLERANCE
    _, mean, _ = trained_network(
        experiments.load(trained, "toy-baseline"), trained, torch.device("cpu")
    )
    assert description["channel_mean"] == pytest.approx(mean.tolist())
    assert str(trained.root).encode() not in b"".join(contents(exported).values())


def test_a_used_folder_is_left_as_it_is(trained: Project, tmp_path: Path):
    (tmp_path / "mine.txt").write_text("keep")
    with pytest.raises(ReidError, match="not empty"):
        export_network(experiments.load(trained, "toy-baseline"), trained, tmp_path)
    assert contents(tmp_path) == {"mine.txt": b"keep"}
