"""Features for `reid score`, and a search of a gallery for one image, as rows and as a picture."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner

from pipeline.commands.main import app
from reid import experiments
from reid.arrays import images
from reid.data.dataset import open as open_data
from reid.evaluation.evaluate import evaluate
from reid.evaluation.score import score
from reid.export import features as features_export
from reid.look import pictures, search
from reid.papers import PAPERS
from reid.papers.attention_driven.paper import PAPER
from reid.project.errors import ReidError
from reid.project.layout import Project
from reid.shards.folder import Shard
from reid.shards.protocol import with_digest
from tests.reid.conftest import TRAINED, copy_of, distances

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning", "ignore::FutureWarning")

ALL = 1000  # more than any gallery here has


def find(project: Project, image: str | Path, name: str = "toy-intra", **options: Any):
    options = {"top": ALL, "device": "cpu", **options}
    return search.search(experiments.load(project, name), project, str(image), **options)


def ids(result: search.SearchResult) -> list[str]:
    return [row["image_id"] for row in result.rows]


def rows_of(project: Project, dataset: str, **labels: Any) -> list[dict[str, Any]]:
    rows = open_data(project.root / "data", dataset).rows.to_pylist()
    return [row for row in rows if all(row[name] == value for name, value in labels.items())]


# -- features --------------------------------------------------------------------------------


def test_features_have_every_row_with_its_labels(trained: Project, tmp_path: Path):
    experiment = experiments.load(trained, "toy-intra")
    out = tmp_path / "new" / "features.parquet"
    path, table = search.write_features(experiment, trained, "toy", out, "cpu")
    assert path == out
    assert Shard(path).table().to_pylist() == table.to_pylist()
    labels = open_data(trained.root / "data", "toy").rows
    assert len(table) == len(labels) == 72  # training rows too
    for name in ("image_id", "person", "camera", "train", "query", "gallery", "tracklet"):
        assert table[name].to_pylist() == labels[name].to_pylist()


@pytest.mark.parametrize("dataset", ["toy", "other"])
def test_features_score_as_the_evaluation_does(trained: Project, tmp_path: Path, dataset: str):
    project = copy_of(trained, tmp_path / "project")
    experiment = experiments.load(project, "toy-intra")
    path, _ = search.write_features(experiment, project, dataset, None, "cpu")
    assert path == project.run("toy-intra") / f"features-on-{dataset}.parquet"
    expected = evaluate(experiment, project, device="cpu", dataset=dataset)
    metrics = score(path, "market1501", experiment.params.distance)
    for name in ("map", "rank1", "rank5", "minp", "queries", "gallery", "junk_dropped"):
        assert metrics[name] == pytest.approx(expected[name], abs=1e-9), name


@pytest.mark.parametrize(
    ("name", "dataset", "out", "said"),
    [
        pytest.param("toy-intra", "toy", "f.npz", "must end in .parquet", id="another ending"),
        pytest.param("toy-intra", "nowhere", None, "`reid ingest nowhere`", id="no such data set"),
        pytest.param("toy-inter", "toy", None, "`reid train toy-inter`", id="not trained"),
        pytest.param("toy-intra", "toy", "/dev/null/f.parquet", "cannot be written", id="device"),
    ],
)
def test_features_that_cannot_be_made(trained: Project, name: str, dataset, out, said):
    experiment = experiments.load(trained, name)
    with pytest.raises(ReidError, match=said):
        search.write_features(experiment, trained, dataset, out and Path(out), "cpu")


def test_features_that_end_in_the_middle_leave_those_before(
    trained: Project, tmp_path, monkeypatch
):
    def ends(path: Path, table: Any, metadata: Any) -> None:
        path.write_bytes(b"PAR1")
        raise OSError(28, "No space left on device")

    out = tmp_path / "features.parquet"
    out.write_bytes(b"those before")
    monkeypatch.setattr(features_export, "write_shard", ends)
    with pytest.raises(ReidError, match=r"cannot be written \(No space left"):
        search.write_features(experiments.load(trained, "toy-intra"), trained, "toy", out, "cpu")
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"those before"]


# -- search ----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", TRAINED)
def test_an_image_id_ranks_as_the_published_lists(trained: Project, name: str):
    lists = Shard(trained.run(name) / "evaluate" / "ranked.parquet").table().to_pylist()
    labels = {row["image_id"]: row for row in rows_of(trained, "toy")}
    for listed in lists[::6]:
        result = find(trained, listed["query"], name)
        own = labels[listed["query"]]
        assert ids(result)[:10] == listed["gallery"]
        assert [row["match"] for row in result.rows][:10] == listed["match"]
        assert result.person == own["person"]
        assert result.note == ""


def test_rows_are_numbered_and_nearest_first(trained: Project):
    query = rows_of(trained, "toy", query=True)[0]["image_id"]
    result = find(trained, query)
    # The gallery of 24 without the two images of the query's person in its camera.
    assert [row["rank"] for row in result.rows] == [*range(1, 23)]
    away = [row["distance"] for row in result.rows]
    assert away == sorted(away)
    labels = {row["image_id"]: row for row in rows_of(trained, "toy")}
    for row in result.rows:
        assert row["person"] == labels[row["image_id"]]["person"]
        assert row["camera"] == labels[row["image_id"]]["camera"]
    assert find(trained, query, top=3).rows == result.rows[:3]


def test_distances_are_those_of_the_features(trained: Project):
    table = Shard(trained.run("toy-intra") / "evaluate" / "features.parquet").table()
    feature = {row["image_id"]: np.array(row["feature"]) for row in table.to_pylist()}
    query = rows_of(trained, "toy", query=True)[-1]["image_id"]
    result = find(trained, query)
    expected = distances(feature[query], np.array([feature[i] for i in ids(result)]))
    np.testing.assert_allclose([r["distance"] for r in result.rows], expected, atol=1e-5)


def test_the_pictures_are_those_of_the_rows(trained: Project):
    query = rows_of(trained, "toy", query=True)[3]["image_id"]
    result = find(trained, query, top=4)
    names = [query, *ids(result)]
    for name, shown in zip(names, [result.query, *result.nearest], strict=True):
        raw = images.decode((trained.raw("toy") / f"{name}.jpg").read_bytes())
        np.testing.assert_array_equal(shown, raw)


def test_an_image_of_the_gallery_does_not_find_itself(trained: Project):
    gallery = rows_of(trained, "toy", gallery=True)
    own = gallery[5]
    result = find(trained, own["image_id"])
    assert own["image_id"] not in ids(result)
    assert len(result.rows) == 24 - 2, "nor the other one of its person and camera"


def test_another_gallery_without_its_junk(trained: Project):
    """Computed anew: this run is not evaluated on that data set."""
    query = rows_of(trained, "other", query=True)[0]
    result = find(trained, query["image_id"], dataset="other")
    people = [row["person"] for row in result.rows]
    everybody = sorted([0] * 6 + [2] * 4 + [4] * 4)
    assert sorted([*people, *[query["person"]] * 2]) == everybody, "two are of its own camera"
    assert result.dataset == "other"


@pytest.mark.parametrize("person", [-1, 0])
def test_junk_and_distractors_match_nobody(trained: Project, person: int):
    image_id = rows_of(trained, "other", person=person)[0]["image_id"]
    result = find(trained, image_id, dataset="other")
    assert result.person is None
    assert marks(search.picture(result)) == []


def test_a_file_finds_what_its_row_finds_where_strips_are_what_is_read(trained: Project):
    """The baseline reads the whole image and four strips in any case."""
    query = rows_of(trained, "toy", query=True)[2]["image_id"]
    file = trained.raw("toy") / f"{query}.jpg"
    result = find(trained, file, "toy-baseline")
    beside = find(trained, query, "toy-baseline")
    assert len(result.rows) == 24, "of a file nobody knows what an evaluation would leave out"
    both = [row for row in result.rows if row["image_id"] in ids(beside)]
    assert [row["image_id"] for row in both] == ids(beside)
    expected = [row["distance"] for row in beside.rows]
    np.testing.assert_allclose([row["distance"] for row in both], expected, atol=1e-5)
    assert {row["match"] for row in result.rows} == {None}
    assert result.person is None
    assert result.note == (
        f"{file.name} has no part boxes: the whole image and its four equal strips stand for them"
    )


def test_a_file_has_other_parts_than_its_row(trained: Project):
    query = rows_of(trained, "toy", query=True)[2]["image_id"]
    result = find(trained, trained.raw("toy") / f"{query}.jpg")
    assert "strips stand for them" in result.note
    assert [r["distance"] for r in result.rows] != [
        r["distance"] for r in find(trained, query).rows
    ]


def test_a_png_of_any_size_is_read(trained: Project, tmp_path: Path):
    path = tmp_path / "somebody.png"
    path.write_bytes(images.encode_png(np.full((300, 90, 3), 120, np.uint8)))
    result = find(trained, path, top=2)
    assert result.image == "somebody.png"
    assert result.query.shape == (300, 90, 3)
    assert len(result.rows) == 2


def test_published_features_are_used_while_they_are_younger(trained: Project, tmp_path: Path):
    project = copy_of(trained, tmp_path / "project")
    query = rows_of(project, "toy", query=True)[0]["image_id"]
    usual = find(project, query)
    path = project.run("toy-intra") / "evaluate" / "features.parquet"
    baseline = project.run("toy-baseline") / "evaluate" / "features.parquet"
    shutil.copyfile(baseline, path)  # to be distinguished from this network's own
    assert find(project, query).rows != usual.rows
    manifest = project.derived("parts", "toy") / "manifest.json"
    for newer in (project.run("toy-intra") / "train" / "model.safetensors", manifest):
        before = newer.stat()
        os.utime(newer, ns=(before.st_atime_ns, path.stat().st_mtime_ns + 10**9))
        assert ids(find(project, query)) == ids(usual)
        os.utime(newer, ns=(before.st_atime_ns, before.st_mtime_ns))
    metrics = path.with_name("metrics.json")
    content = json.loads(metrics.read_text())
    content["params"]["seed"] = 1
    metrics.write_text(json.dumps(content))
    assert ids(find(project, query)) == ids(usual), "of other parameters"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        pytest.param(b"GIF89a", "not readable as an image .neither JPEG nor PNG", id="a GIF"),
        pytest.param(b"", "not readable as an image .empty file", id="an empty file"),
        pytest.param(b"\xff\xd8\xff\xe0", "not readable as an image .broken JPEG", id="cut off"),
        pytest.param(None, "neither an image_id among .* nor a readable file .Is a", id="a folder"),
    ],
)
def test_a_file_that_is_no_image(trained: Project, tmp_path: Path, content, said):
    path = tmp_path / "image.jpg"
    path.mkdir() if content is None else path.write_bytes(content)
    with pytest.raises(ReidError, match=said) as error:
        find(trained, path)
    assert str(error.value).startswith(f"{path}: ")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("image", "options", "said"),
    [
        pytest.param("query/0002", {}, "complete rows of toy .*No such file", id="unknown id"),
        pytest.param("q" * 5000, {}, "nor a readable file .File name too long", id="a long name"),
        pytest.param(
            "query/0002", {"dataset": "other"}, "complete rows of other", id="unknown id there"
        ),
        pytest.param("any", {"top": 0}, "top: 0, must be at least 1", id="nothing asked for"),
        pytest.param("any", {"dataset": "nowhere"}, "`reid ingest nowhere`", id="no data set"),
        pytest.param("any", {"device": "abacus"}, "device: no `abacus`", id="no device"),
        pytest.param("any", {"name": "toy-inter"}, "`reid train toy-inter`", id="not trained"),
    ],
)
def test_what_cannot_be_searched(trained: Project, image: str, options: dict[str, Any], said: str):
    image = rows_of(trained, "toy", query=True)[0]["image_id"] if image == "any" else image
    with pytest.raises(ReidError, match=said) as error:
        find(trained, image, **options)
    assert "\n" not in str(error.value)


def test_a_network_that_reads_more_needs_an_image_id(trained: Project, monkeypatch):
    wider = replace(PAPER, columns=lambda params: ["image", "parts", "parts_source"])
    monkeypatch.setitem(PAPERS, "attention_driven", lambda: wider)
    file = next((trained.raw("toy") / "query").glob("*.jpg"))
    with pytest.raises(ReidError, match="also reads parts_source; name an image_id of toy"):
        find(trained, file)


def test_a_data_set_without_gallery(trained: Project, tmp_path: Path):
    project = copy_of(trained, tmp_path / "project")
    query = rows_of(project, "toy", query=True)[0]["image_id"]
    path = project.shards("toy") / "protocol.json"
    described = json.loads(path.read_text())
    described["protocols"][0]["rule"]["junk"] = [2, 4, 6, 8]
    path.write_text(json.dumps(with_digest(described)))
    with pytest.raises(ReidError, match="toy: has no gallery to search"):
        find(project, query)


@pytest.mark.parametrize(
    ("exclude", "left"),
    [
        pytest.param("same_person_same_camera", 22, id="its person in its camera"),
        pytest.param("same_camera", 16, id="its camera"),
        pytest.param("none", 24, id="nothing"),
    ],
)
def test_the_gallery_is_what_the_evaluation_compares(
    trained: Project, tmp_path: Path, exclude: str, left: int
):
    project = copy_of(trained, tmp_path / "project")
    path = project.shards("toy") / "protocol.json"
    described = json.loads(path.read_text())
    described["protocols"][0]["rule"]["exclude"] = exclude
    path.write_text(json.dumps(with_digest(described)))
    query = rows_of(project, "toy", query=True)[0]
    rows = find(project, query["image_id"]).rows
    assert len(rows) == left
    assert [r["match"] for r in rows] == [r["person"] == query["person"] for r in rows]


# -- the picture -----------------------------------------------------------------------------


def marks(picture: np.ndarray) -> list[str]:
    """'right' or 'wrong' by the colour of each frame, from the left and the top."""
    frames = []
    for name, colour in (("right", pictures.RIGHT), ("wrong", pictures.WRONG)):
        mask = (picture == colour).all(2).astype(np.uint8)
        _, _, boxes, _ = cv2.connectedComponentsWithStats(mask)
        outer = boxes[1:][boxes[1:, 3] >= pictures.CELL_PX[0] - 4]  # not the inner ones, the marks
        frames += [(y // 50, x, name) for x, y, *_ in outer]
    return [name for _, _, name in sorted(frames)]


@pytest.mark.parametrize("top", [3, 22])
def test_the_picture_marks_right_and_wrong_in_order(trained: Project, top: int):
    query = rows_of(trained, "toy", query=True)[0]
    result = find(trained, query["image_id"], top=top)
    expected = ["right" if row["person"] == query["person"] else "wrong" for row in result.rows]
    assert marks(search.picture(result)) == expected
    assert top == 3 or {*expected} == {"right", "wrong"}


def test_frames_and_marks_differ_without_colours():
    image = np.full((64, 32, 3), 200, np.uint8)
    right, wrong, plain = (pictures.framed(image, match) for match in (True, False, None))
    inner = (slice(6, 7), slice(20, 50))  # where only the double frame has its second line
    assert (right[inner] == 200).all()
    assert (wrong[inner] == pictures.WRONG).all()
    assert (plain == 200).all()
    corner = (slice(8, 25), slice(56, 73))
    tick, cross = ((shown[corner] != 255).any(2) for shown in (right, wrong))
    assert tick.any()
    assert (tick != cross).mean() > 0.1
    np.testing.assert_array_equal(cross[2:15, 2:15], cross[2:15, 2:15][:, ::-1])  # a cross does


def test_lines_of_text_widen_a_picture():
    image = np.full((30, 40, 3), 7, np.uint8)
    out = pictures.titled(image, {6: "a line that is wider than the picture"}, {6: "short"})
    assert out.shape[0] == 30 + 2 * pictures.LINE_PX
    assert out.shape[1] > 200
    np.testing.assert_array_equal(out[-30:, :40], image)
    assert (out[-30:, 40:] == 255).all()
    first, second = out[: pictures.LINE_PX], out[pictures.LINE_PX : 2 * pictures.LINE_PX]
    assert (first[:, 150:] < 128).any()
    assert (second[:, :60] < 128).any()
    assert (second[:, 60:] == 255).all()


# -- the command -----------------------------------------------------------------------------


def run(trained: Project, *arguments: str):
    with contextlib.chdir(trained.root):
        return CliRunner().invoke(app, arguments)


def test_the_command_writes_rows_and_a_picture(trained: Project, tmp_path: Path):
    query = rows_of(trained, "toy", query=True)[0]["image_id"]
    out = tmp_path / "found.png"
    arguments = ("search", "toy-intra", query, "--top", "4", "--out", str(out), "--json")
    done = run(trained, *arguments)
    assert done.exit_code == 0, done.output
    output = json.loads(done.output)
    expected = find(trained, query, top=4)
    assert output["rows"] == expected.rows
    assert output["picture"] == str(out)
    np.testing.assert_array_equal(images.decode(out.read_bytes()), search.picture(expected))


def test_the_command_marks_right_and_wrong(trained: Project):
    query = rows_of(trained, "toy", query=True)[0]["image_id"]
    done = run(trained, "search", "toy-intra", query, "--top", "22")
    lines = [line.split()[-1] for line in done.output.splitlines() if line[:1].isdigit()]
    words = {True: "right", False: "wrong"}
    assert lines == [words[row["match"]] for row in find(trained, query).rows]
    assert {*lines} == {"right", "wrong"}


def test_the_command_says_what_strips_stand_for(trained: Project):
    file = next((trained.raw("toy") / "query").glob("*.jpg")).relative_to(trained.root)
    done = run(trained, "search", "toy-intra", str(file))
    assert done.exit_code == 0, done.output
    assert "four equal strips stand for them" in " ".join(done.output.split())
    assert (trained.reports / "pictures" / "search-toy-intra.png").is_file()


def test_a_picture_is_a_png(trained: Project):
    query = rows_of(trained, "toy", query=True)[0]["image_id"]
    done = run(trained, "search", "toy-intra", query, "--out", "found.jpg")
    assert isinstance(done.exception, ReidError)
    assert str(done.exception) == "found.jpg: must end in .png"
