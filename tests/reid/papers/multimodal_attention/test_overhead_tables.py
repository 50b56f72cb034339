"""Tables over random splits, and rows of the data set that a table's data set was made of."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from pipeline.builds import variants
from reid.project.errors import ReidError
from reid.project.layout import Project
from reid.results import tables as results
from tests.pipeline.overhead import build, make_overhead

SCALE = """\
    {dataset}:
      resized: 70
      side: 67
      width_scale: 0.03125
      pixel_scale: 0.01
      encoder_epochs: 1
      encoder_batch: 8
      fusion_epochs: 1
      fusion_batch: 8
      builds: {{jet: {jet}}}
"""


def add_paper(**builds: str) -> None:
    """The paper's scale on the data sets that have these builds of jet."""
    path = Path("params.yaml")
    scale = "".join(SCALE.format(dataset=d.replace("__", "/"), jet=j) for d, j in builds.items())
    path.write_text(f"{path.read_text()}multimodal_attention:\n  with: {{}}\n  scale:\n{scale}")


def run(project: Project, dataset: str, number: str, splits: int = 0, seeds: int = 1):
    said: list[str] = []
    settings = results.Run(
        project, "multimodal_attention", dataset, "cpu", variants.build, said.append, splits
    )
    return results.run_table(settings, number, seeds), said


def test_a_row_is_the_mean_of_raw_values_over_splits_and_seeds(tmp_path, monkeypatch):
    project = make_overhead(tmp_path / "project", monkeypatch, "opr", persons=8, frames=2)
    add_paper(top="top")
    build(project, "ingest")
    build(project, "jet")
    found, said = run(project, "top", "3", splits=2, seeds=2)
    assert "2 splits x 2 seeds" in found["title"]
    assert len(said) == 2 * 2 * 2
    shares: dict[str, list[float]] = {"rgb_d_cnn": [], "mat": []}
    rules = set()
    for path in sorted(Path("data/3-runs").glob("*/evaluate/metrics.json")):
        result = json.loads(path.read_text())
        shares[result["params"]["model"]].append(100 * result["rank1"])
        rules.add(result["protocol"])
    assert rules == {"split-01", "split-02"}
    for row, model in (("RGB-D-CNN", "rgb_d_cnn"), ("MAT", "mat")):
        values = np.array(shares[model])
        assert len(values) == 4
        shown = next(line["r1"] for line in found["rows"] if line["row"] == row)
        assert shown == f"{values.mean():.2f} ± {values.std(ddof=1):.2f}"


def test_more_splits_than_there_are_is_an_error(tmp_path, monkeypatch):
    project = make_overhead(tmp_path / "project", monkeypatch, "opr", persons=4, frames=2)
    add_paper(top="top")
    build(project, "ingest")
    with pytest.raises(ReidError, match="11 random splits are asked for, it has 10"):
        run(project, "top", "3", splits=11)


def test_a_row_of_full_frames_is_of_the_data_set_before_crops(tmp_path, monkeypatch):
    project = make_overhead(tmp_path / "project", monkeypatch, persons=4, frames=6)
    add_paper(top="top", crops__top="top-crops")
    build(project, "ingest")
    build(project, "crops")
    build(project, "jet")
    build(project, "jet", "top-crops")
    Path("data/0-raw/top.truth").mkdir()  # as a rendered world has it: the rows are tiny ones
    found, _ = run(project, "crops/top", "2")
    trained = [
        json.loads(path.read_text())["params"]["dataset"]
        for path in sorted(Path("data/3-runs").glob("*/train/experiment.json"))
    ]
    assert sorted(trained) == ["crops/top", "crops/top", "top"]
    rows = {line["row"]: line for line in found["rows"]}
    assert rows["RGB-D-CNN, full frames"]["r1"] != ""
    assert rows["RGB-D-CNN, full frames"]["paper, tvpr r1"] == 63.83


def test_full_frames_of_a_data_set_that_was_made_of_none(tmp_path, monkeypatch):
    project = make_overhead(tmp_path / "project", monkeypatch, persons=4, frames=2)
    add_paper(top="top")
    build(project, "ingest")
    build(project, "jet")
    with pytest.raises(ReidError, match="top was not made of another data set"):
        run(project, "top", "2")
