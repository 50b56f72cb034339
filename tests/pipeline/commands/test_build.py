"""The commands as a user types them: outputs, JSON, and one-line errors."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from pipeline.commands.main import app
from reid.project.errors import ReidError
from reid.project.layout import Project
from tests.conftest import reid

RUN = CliRunner()


def invoke(*arguments: str) -> str:
    result = RUN.invoke(app, list(arguments), env={"COLUMNS": "200"})
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.output


def as_json(*arguments: str):
    return json.loads(invoke(*arguments, "--json"))


@pytest.fixture
def built(toy: Project) -> Project:
    for stage in ("ingest", "joints", "parts"):
        invoke(stage, "toy", "--executor", "local")
    return toy


def test_a_stage_says_what_it_did(toy: Project):
    assert "72 rows, 0 rejects, 4 shards computed, 0 reused, published" in invoke("ingest", "toy")
    again = invoke("ingest", "toy")
    assert "0 shards computed, 4 reused, unchanged" in again
    assert "12936" in again, "counts that differ from the published ones are a table"


def test_a_stage_names_the_list_of_its_rejects(toy: Project):
    next(toy.raw("toy").glob("bounding_box_train/*.jpg")).write_bytes(b"no image")
    said = "71 rows, 1 rejects (data/1-shards/toy/rejects.parquet says why), 4 shards computed"
    assert said in invoke("ingest", "toy", "--executor", "local")
    assert Path("data/1-shards/toy/rejects.parquet").is_file()


def test_plan_and_status_name_what_changed(built: Project):
    assert {s["state"] for s in as_json("plan", "parts", "toy")["shards"]} == {"reuse"}
    assert {line["state"] for line in as_json("status")} == {"built"}
    text = Path("params.yaml").read_text()
    Path("params.yaml").write_text(text.replace("canonical_poses: 3", "canonical_poses: 2"))
    planned = as_json("plan", "parts", "toy")
    assert {s["why"] for s in planned["shards"]} == {"canonical_poses: 3 -> 2"}
    assert planned["free"] > planned["bytes"] > 0
    states = {line["stage"]: line["state"] for line in as_json("status")}
    assert states["joints"] == "built"
    assert states["parts"].startswith("stale: canonical_poses: 3 -> 2")


def test_verify_fails_on_a_flipped_byte(built: Project):
    assert set(as_json("verify")) == {
        "data/1-shards/toy", "data/2-derived/joints/toy", "data/2-derived/parts/toy",
    }  # fmt: skip
    path = sorted((built.shards("toy") / "rows").iterdir())[0]
    data = bytearray(path.read_bytes())
    data[len(data) // 3] ^= 4
    path.write_bytes(data)
    result = RUN.invoke(app, ["verify", "toy"])
    assert result.exit_code == 1
    assert path.name in result.output


def test_inspect_shows_rows_and_writes_a_sheet(built: Project):
    shard = sorted((built.shards("toy") / "rows").iterdir())[0]
    found = as_json("inspect", str(shard), "--rows", "5", "--sheet", "sheet.png")
    assert len(found["rows"]) == 5
    assert found["metadata"]["reid.stage"] == "ingest"
    assert Path("sheet.png").read_bytes().startswith(b"\x89PNG")


def test_gc_says_what_it_would_remove(built: Project):
    assert as_json("gc", "--dry-run")["files"] == []
    text = Path("params.yaml").read_text()
    Path("params.yaml").write_text(text.replace("canonical_poses: 3", "canonical_poses: 2"))
    invoke("parts", "toy", "--executor", "local")
    before = as_json("gc", "--dry-run")
    assert before["bytes"] > 0
    assert as_json("gc")["files"] == before["files"]
    assert as_json("gc")["files"] == []


def test_doctor_reports_this_machine(toy: Project, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("pipeline.commands.doctor.SECONDS", 0.01)
    found = as_json("doctor")
    assert set(found) == {"versions", "machine", "dvc", "disk", "backends", "weights", "speed"}
    assert found["versions"]["pyarrow"] != "not installed"
    assert found["dvc"]["links"].split()[0] in ("hardlink", "copy")


def test_datasets_tells_layout_counts_and_where_to_ask():
    found = as_json("datasets")["market1501"]
    assert found["published"]["train"] == 12_936
    assert found["layout"]
    assert found["where"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["ingest", "tay"], "params.yaml: ingest.on has no `tay`; did you mean `toy`?"),
        (["plan", "moon", "toy"], "no stage `moon` (there are ingest, joints, parts, masks, "),
        (["parts", "toy"], "data/1-shards/toy: not built yet; run `reid ingest toy`"),
        (
            ["ingest", "toy", "--executor", "moon"],
            "no executor `moon` (there are local, pool, ray)",
        ),
        (["world", "mars"], "params.yaml: world.on has no `mars`"),
    ],
)
def test_an_error_says_where_what_and_what_is_allowed(toy: Project, arguments, message):
    with pytest.raises(ReidError) as error:
        invoke(*arguments)
    assert str(error.value).startswith(message)


def test_an_unknown_key_names_its_path_and_the_nearest(toy: Project):
    text = Path("params.yaml").read_text()
    Path("params.yaml").write_text(text.replace("shard_rows", "shard_row"))
    with pytest.raises(ReidError, match=r"ingest has no `shard_row`; did you mean `shard_rows`\?"):
        invoke("ingest", "toy")


def test_an_error_is_one_line_and_status_two_for_the_user(tmp_path: Path):
    done = reid("status", cwd=tmp_path)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith("reid: ")
    assert "no params.yaml here or above" in done.stderr


def test_a_wrong_root_is_refused_before_anything_is_written(toy: Project, tmp_path: Path):
    (tmp_path / "empty").mkdir()
    before = Path("params.yaml").read_text()
    with pytest.raises(ReidError, match="not a Market-1501 download"):
        invoke("add", "market1501", "--root", str(tmp_path / "empty"))
    assert Path("params.yaml").read_text() == before
    assert not toy.raw("market1501").exists()


def test_stages_without_a_network_have_no_batch(toy: Project):
    assert "--batch" in invoke("masks", "--help")
    assert "--batch" not in invoke("parts", "--help")
    result = RUN.invoke(app, ["joints", "toy", "--batch", "8"])
    assert "put `batch: 8` into params.yaml: joints.on.toy" in str(result.exception)
    result = RUN.invoke(app, ["joints", "toy", "--batch", "auto"])
    assert "backend given runs no network" in str(result.exception)
