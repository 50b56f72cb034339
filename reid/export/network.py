"""Writes a trained network for use without this project: torch.export, ONNX, and a description.

Reads   3-runs/<experiment>/train; some test rows, to trace the network with and to check it
Writes  <out>/network.pt2; network.onnx where the packages onnx and onnxscript are installed;
        network.json: inputs, preparation, output, files

The exported network begins where a paper's `view` ends, so that normalisation is part of it, and
gives the feature that `reid evaluate` compares, in float32 (evaluations on CUDA may use bfloat16).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from reid.data.clips import Clips, Tracklets
from reid.data.views import Batch
from reid.evaluation.features import tested_rows, trained_network
from reid.experiments import Experiment
from reid.export.folder import new_folder
from reid.papers.contract import Method
from reid.project.errors import ReidError
from reid.project.layout import Project, as_json, sha256_of

TOLERANCE = 1e-5  # of a feature's values, in shares of the largest: exported against eager
ONNX_TOLERANCE = 1e-4  # the same of onnxruntime: other kernels
EXAMPLE, CHECKED = 2, 3  # samples to trace with, and to compare
ONNX_NEEDS = ("onnx", "onnxscript")
NO_ONNX = "network.onnx was left out: it needs `pip install onnx onnxscript`"


class TestFeature(nn.Module):
    """Prepared samples, as a paper's `view` gives them, to test features (B, D) float32."""

    __test__ = False
    mean: Tensor

    def __init__(
        self, method: Method[Any, Any], params: Any, network: nn.Module, mean: Tensor
    ) -> None:
        super().__init__()
        self.method, self.params, self.network = method, params, network
        self.register_buffer("mean", mean)

    def forward(self, samples: Batch) -> Tensor:
        """Views by name, (B, ...) or clips (B, T, ...), to (B, D)."""
        ready = self.method.normalize(self.params, samples, self.mean)
        return self.method.embed(self.network, self.params, ready).float()


@dataclass(frozen=True)
class Traced:
    """An exported program, and which of its axes may have any length."""

    program: torch.export.ExportedProgram
    axes: dict[int, str]  # by number; others are fixed
    difference: float  # of the largest value, from the eager network

    def shape(self, sample: Tensor) -> list[int | str]:
        """An input's shape: numbers, or the axis' name where it is free."""
        fixed: list[int | str] = [1, *sample.shape[1:]]
        return [self.axes.get(axis, length) for axis, length in enumerate(fixed)]


def export_network(experiment: Experiment, project: Project, out: Path) -> list[str]:
    """Write the published network of an experiment to the new folder `out`; returns notes.

    Raises `ReidError` where it is not trained, or where torch cannot trace it.
    """
    network, mean, described = trained_network(experiment, project, torch.device("cpu"))
    module = TestFeature(experiment.method, experiment.params, network, mean).eval()
    samples = _samples(experiment, project)
    clips = experiment.paper.clips(experiment.params)
    with new_folder(out) as folder:
        traced = trace(module, samples, clips, experiment.name)
        torch.export.save(traced.program, folder / "network.pt2")
        onnx = all(find_spec(name) for name in ONNX_NEEDS)
        without = save_onnx(traced, samples, folder / "network.onnx") if onnx else NO_ONNX
        description = _described(experiment, traced, samples, described)
        description["files"] = {path.name: sha256_of(path) for path in sorted(folder.iterdir())}
        (folder / "network.json").write_bytes(as_json(description))
    fixed = [
        f"torch could not leave the number of {name} open; it is fixed, see network.json"
        for axis, name in _free(clips).items()
        if axis not in traced.axes
    ]
    return [*fixed, without] if without else fixed


def _samples(experiment: Experiment, project: Project) -> Batch:
    """`CHECKED` prepared test samples; a clip has as many frames as in the test."""
    paper, params = experiment.paper, experiment.params
    data = experiment.open(project)
    tested = tested_rows(data)
    data = tested if len(tested) else data
    clips = paper.clips(params)
    rows = np.resize(np.arange(len(data)), CHECKED)
    if clips is not None:
        each = Tracklets.of(data).test_clips(clips)
        rows = np.stack([np.resize(each[i % len(each)][0], frames_of(clips)) for i in rows])
    view = experiment.method.view
    views = [view(params, row["image"], row) for row in data.__getitems__(rows.ravel())]
    stacked = {
        name: torch.from_numpy(np.stack([view[name] for view in views])) for name in views[0]
    }
    return {name: values.unflatten(0, rows.shape) for name, values in stacked.items()}


def frames_of(clips: Clips) -> int:
    """Frames of a test clip; where they may be fewer, the most."""
    return clips.test_length if clips.test == "ends" else clips.length


def _free(clips: Clips | None) -> dict[int, str]:
    """The axes whose length should be left open: samples, and frames where clips differ."""
    return {0: "batch", 1: "frames"} if clips and clips.test == "ends" else {0: "batch"}


def trace(module: nn.Module, samples: Batch, clips: Clips | None, name: str) -> Traced:
    """Export a network with as many open axes as torch can trace, and compare it with itself.

    `samples` are at least `CHECKED`. Raises `ReidError` where nothing can be traced, or where the
    program's features are not the network's.
    """
    reason = ""
    for axes in _choices(_free(clips)):
        count = EXAMPLE if 0 in axes else 1
        example = {n: torch.zeros_like(v[:count]) for n, v in samples.items()}  # it is kept
        dims = {axis: torch.export.Dim(axis_name, min=1) for axis, axis_name in axes.items()}
        try:
            with torch.no_grad():
                program = torch.export.export(
                    module, (example,), dynamic_shapes=({n: dict(dims) for n in example},)
                )
        except Exception as error:  # torch has dozens of kinds; the last is reported
            reason = " ".join(str(error).split())[:200] or type(error).__name__
            continue
        _forget_paths(program)
        difference = _difference(program, module, samples, axes)
        if not difference <= TOLERANCE:
            raise ReidError(
                f"{name}: the exported network's features differ by {difference:.2g} of the "
                f"largest value, more than {TOLERANCE:g}; nothing was written"
            )
        return Traced(program, axes, difference)
    raise ReidError(f"{name}: torch.export cannot trace this network ({reason})")


def _choices(free: dict[int, str]) -> Iterator[dict[int, str]]:
    """All axes open, then without the first, and so on to none."""
    for first in range(len(free) + 1):
        yield {axis: name for axis, name in free.items() if axis >= first}


def _forget_paths(program: torch.export.ExportedProgram) -> None:
    """Take out the traces of source lines, which name files of this machine."""
    for node in program.graph.nodes:
        node.meta.pop("stack_trace", None)


@torch.no_grad()
def _difference(
    program: torch.export.ExportedProgram, module: nn.Module, samples: Batch, axes: dict[int, str]
) -> float:
    """The largest difference of features, in shares of the largest value, also for other sizes."""
    run, differences = program.module(), []
    for count in (1, len(next(iter(samples.values())))) if 0 in axes else (1,):
        tried = {name: values[:count] for name, values in samples.items()}
        if 1 in axes:
            tried = {name: values[:, : max(1, values.shape[1] - count)]
                     for name, values in tried.items()}  # fmt: skip
        eager, exported = module(tried), run(tried)
        largest = eager.abs().max().clamp(min=torch.finfo(eager.dtype).tiny)
        differences.append(float((eager - exported).abs().max() / largest))
    return float(np.max(differences))  # not a number where one is


def save_onnx(traced: Traced, samples: Batch, path: Path) -> str:
    """The program as ONNX, weights inside, with inputs by their names and the output `feature`.

    Returns '', or in one line why there is no file: torch cannot write the network as ONNX, or its
    features differ (checked where onnxruntime is installed).
    """
    try:
        torch.onnx.export(
            traced.program.run_decompositions(FOR_ONNX), (), path, dynamo=True,
            external_data=False, verbose=False, input_names=[*samples], output_names=["feature"],
        )  # fmt: skip
    except Exception as error:  # of torch, onnx or onnxscript; its first cause says why
        path.unlink(missing_ok=True)
        cause: BaseException = error
        while cause.__cause__ is not None:
            cause = cause.__cause__
        reason = " ".join(str(cause).split())[:200] or type(cause).__name__
        return f"{path.name} was left out: torch.onnx cannot write this network ({reason})"
    difference = onnx_difference(traced, samples, path) if find_spec("onnxruntime") else 0.0
    if not difference <= ONNX_TOLERANCE:
        path.unlink()
        return f"{path.name} was left out: its features differ by {difference:.2g} of the largest"
    return ""


@torch.no_grad()
def onnx_difference(traced: Traced, samples: Batch, path: Path) -> float:
    """The largest difference of onnxruntime's features, in shares of the largest value."""
    from onnxruntime import InferenceSession  # pyright: ignore[reportMissingImports]

    tried = {n: values[: CHECKED if 0 in traced.axes else 1] for n, values in samples.items()}
    expected = traced.program.module()(tried).numpy()
    session = InferenceSession(str(path))
    (feature,) = session.run(["feature"], {name: values.numpy() for name, values in tried.items()})
    return float(np.abs(feature - expected).max() / max(np.abs(expected).max(), TOLERANCE))


def _atan2(y: Tensor, x: Tensor) -> Tensor:
    """atan2 with no division by zero: ONNX's stand-in takes -0.0 for a sign of its own."""
    angle = (y / torch.where(x == 0, 1.0, x)).atan()
    half = torch.where(y < 0, -torch.pi, torch.pi)
    upright = torch.where(y == 0, 0.0, half / 2)
    return torch.where(x > 0, angle, torch.where(x < 0, angle + half, upright))


FOR_ONNX: dict[Any, Any] = {  # functions that ONNX lacks, or has only nearly
    torch.ops.aten.hypot.default: lambda a, b: (a * a + b * b).sqrt(),
    torch.ops.aten.atan2.default: _atan2,
}


def _described(
    experiment: Experiment, traced: Traced, samples: Batch, trained: dict[str, Any]
) -> dict[str, Any]:
    """network.json but for the files."""
    params, words = experiment.params, experiment.method.describe(experiment.params)
    inputs = [
        {"name": name, "shape": traced.shape(values), "made": words.inputs[name],
         "dtype": str(values.dtype).removeprefix("torch."), "layout": "channels last"}
        for name, values in samples.items()
    ]  # fmt: skip
    output = traced.program.graph_module.graph.output_node().args[0][0].meta["val"]  # type: ignore
    feature = {
        "name": "feature", "shape": [traced.axes.get(0, 1), int(output.shape[1])],
        "dtype": "float32", "is": words.feature, "distance": params.distance,
        "parts": experiment.method.feature_parts(params),
    }  # fmt: skip
    return {
        "experiment": experiment.name, "paper": experiment.paper.name, "training": trained["key"],
        "params": experiment.described(), "inputs": inputs, "inside": words.inside,
        "channel_mean": trained["channel_mean"], "output": feature,
        "difference": traced.difference, "torch": str(torch.__version__),
        "called": "torch.export.load(FILE).module()({name: tensor, ...}); ONNX by name",
    }  # fmt: skip
