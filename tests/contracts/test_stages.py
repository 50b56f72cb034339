"""What holds for every derived-data stage."""

from __future__ import annotations

import pickle
import subprocess
import sys

import pyarrow as pa
import pytest

from pipeline.engine.stage import no_network
from pipeline.stages import STAGES, stage
from reid.project.errors import ReidError
from reid.shards.schema import ROW

HEAVY = {
    "torch", "torchvision", "ultralytics", "mmpose", "detectron2", "ptlflow", "pycocotools",
    "scipy", "pandas",
}  # fmt: skip


@pytest.mark.parametrize("name", STAGES)
def test_it_is_listed_under_its_name_and_says_whether_it_runs_a_network(name: str):
    of = stage(name)
    assert of.name == name
    assert STAGES[name].summary.endswith(".")
    assert STAGES[name].network == (of.needs_device is not no_network)


@pytest.mark.parametrize("name", STAGES)
def test_it_goes_to_a_worker_by_pickle(name: str):
    of = stage(name)
    assert pickle.loads(pickle.dumps(of)) == of


@pytest.mark.parametrize("name", STAGES)
def test_it_reads_base_columns_and_what_stages_write(name: str):
    of = stage(name)
    params = of.params()
    for reads in (of.reads_of(params, ROW.names), of.fit_reads_of(params, ROW.names)):
        for source, columns in {**reads, **of.reads_anywhere_of(params)}.items():
            written = ROW if source == "rows" else stage(of.stage_of.get(source, source)).columns()
            assert set(columns) <= {*written.names}, source


@pytest.mark.parametrize("name", STAGES)
def test_its_columns_have_ids_first_and_no_name_twice(name: str):
    names = stage(name).columns().names
    assert names[0] == "image_id" or names[: len(ROW.names)] == ROW.names
    assert len(set(names)) == len(names)
    assert isinstance(stage(name).schema, pa.Schema)


@pytest.mark.parametrize("name", STAGES)
def test_each_backend_has_calls_of_some_rows_and_labels_are_given_to_one_that_looks_them_up(
    name: str,
):
    of = stage(name)
    for backend in of.backends() or ("",):
        params = of.params.model_construct(**({"backend": backend} if backend else {}))
        assert of.batch_rows(params) >= 1
        if backend == "given":
            assert not of.needs_device(params)
            assert of.reads_anywhere_of(params) == {"rows": ["image_id"]}
    assert ("given" in of.backends()) == (of.unmatched is not None)


def test_the_list_of_stages_imports_none_and_a_stage_no_network_library():
    code = f"""
import sys
from pipeline.stages import STAGES, stage
assert not {{"pyarrow", "pydantic", "cv2"}} & {{*sys.modules}}
for name in STAGES:
    stage(name)
sys.exit(", ".join(sorted({HEAVY!r} & {{*sys.modules}})) or 0)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_an_unknown_stage_names_those_there_are():
    with pytest.raises(
        ReidError,
        match=r"no stage `pats`; did you mean `parts`\? \(there are ingest, joints, parts, ",
    ):
        stage("pats")
