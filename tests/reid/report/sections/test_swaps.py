"""The page's sections on masks, swaps, viewpoints by poses, and scores by probability."""

from __future__ import annotations

import base64
import contextlib
import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from reid import experiments
from reid.arrays import images
from reid.arrays import swaps as arrays
from reid.papers.implicit_attention.sections import swap_scores, swaps, viewpoints
from reid.project.layout import Project
from reid.report import page as report
from reid.report.blocks import Section, Shot, Table
from reid.report.sections import masks
from reid.results import built as sources
from tests.pipeline.conftest import build, make_swaps_project, write_masks
from tests.reid.papers.implicit_attention.test_paper import SECTION

BUILDS = """\
  on:
    toy: {max_reject_rate: 0.5}
    toy-upper: {dataset: toy, region: upper_body, max_reject_rate: 0.5}
    other: {dataset: toy, region: given, builds: {region_masks: hair}, max_reject_rate: 0.5}
"""


@pytest.fixture(scope="module")
def project(tmp_path_factory) -> Iterator[Project]:
    """Swaps of full bodies, of upper bodies and of hair; one image without partner, one no mask."""
    with pytest.MonkeyPatch.context() as patch:
        root = tmp_path_factory.mktemp("swaps") / "project"
        made = Project(make_swaps_project(root, patch).root.resolve())
        params = made.root / "params.yaml"
        text = params.read_text().replace("  on: {toy: {max_reject_rate: 0.5}}\n", BUILDS)
        text = text.replace("on: {}}\ningest", "on: {toy: {}}}\ningest")  # as if it were rendered
        params.write_text(text + SECTION)
        build(made, "ingest", "joints")
        _spoil(made)
        build(made, "masks", "backgrounds", "swaps")
        build(made, "masks", name="hair")
        for name in ("toy-upper", "other"):
            build(made, "backgrounds", name=name)
        yield made


def _spoil(project: Project) -> None:
    """The first training image gets a mask like no other, the first test image none."""
    rows = sources.BuiltData("toy", project).data.rows.to_pylist()
    found = pq.read_table("masks.parquet").to_pylist()
    given = {row["image_id"]: images.decode_mask(row["mask"]["bytes"]) for row in found}
    lone = next(row["image_id"] for row in rows if row["train"])
    given[lone] = np.zeros((64, 32), bool)
    given[lone][30:32, 2:30] = True  # 56 of 2,048 pixels
    del given[next(row["image_id"] for row in rows if not row["train"])]
    write_masks(Path("masks.parquet"), given)


@pytest.fixture
def copy(project, tmp_path, monkeypatch) -> Project:
    shutil.copytree(project.root, tmp_path / "project")
    monkeypatch.chdir(tmp_path / "project")
    return Project(tmp_path / "project")


def built(project: Project, name: str = "toy") -> sources.BuiltData:
    return sources.BuiltData(name, project)


def cells(table: Table) -> list[dict[str, str]]:
    head = [c.text for c in table.columns]
    return [dict(zip(head, [c.text for c in row], strict=True)) for row in table.rows]


def kinds(section: Section | None, kind: str) -> list:
    assert section is not None
    return [block for block in section.blocks if block.kind == kind]


def picture(shot: Shot) -> np.ndarray:
    assert shot.source is not None
    return images.decode(base64.b64decode(shot.source.split(",")[1]))


# -- what is built ---------------------------------------------------------------------------


def test_data_sets_that_stages_made_have_chapters_of_their_own(project):
    chapters = {c.title: [s.title for s in c.sections] for c in report.chapters(project)}
    assert [*chapters] == ["Data sets", "Data set toy", "Data set swaps/toy"]
    expected = ["Masks", "Swap partners", "Swaps"]
    assert [t for t in chapters["Data set toy"] if t in expected] == expected
    assert "Where the images come from" in chapters["Data set swaps/toy"]
    assert not set(chapters["Data set swaps/toy"]) & set(expected)
    assert "Swap partners" in report.write(project).read_text()


def test_all_builds_of_a_data_set_are_listed_and_one_of_each_stage_shown(project):
    found = built(project)
    assert [b.label for b in found.derived] == [
        "backgrounds other", "backgrounds", "backgrounds toy-upper", "joints", "masks hair",
        "masks", "swaps",
    ]  # fmt: skip
    assert {stage: b.name for stage, b in found.shown.items()} == {
        "backgrounds": "toy", "joints": "toy", "masks": "toy",
    }  # fmt: skip
    assert found.has("mask")
    assert found.has("image"), "the new data set has it too, and is another one"
    stages = cells(next(s for s in report.chapters(project)[1].sections if s.title == "Stages")
                   .blocks[0])  # fmt: skip
    assert [line["stage"] for line in stages] == ["ingest", *(b.label for b in found.derived)]
    made = built(project, "swaps/toy")
    assert (made.origin.label, made.derived) == ("swaps", [])


def test_a_build_with_another_name_is_shown_where_it_is_the_only_one(copy):
    for name in ("masks/toy", "masks/hair"):
        folder = copy.root / "data/2-derived" / name
        folder.rename(folder.with_name(f"all-{folder.name}"))
    shutil.rmtree(copy.derived("masks", "all-hair"))
    found = built(copy)
    assert found.shown["masks"].name == "all-toy"
    assert found.data.value("mask", 40).shape == (64, 32)


def test_a_build_of_another_data_set_is_none_of_this_one(copy):
    path = copy.derived("masks", "toy") / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "dataset": "street"}))
    assert built(copy).shown["masks"].name == "hair"


# -- masks -----------------------------------------------------------------------------------


def test_masks_are_counted(project):
    section = masks.over_images(built(project))
    assert kinds(section, "text")[0].text == "1 of 72 images have no mask: 1 no mask given."
    training, test = cells(kinds(section, "table")[0])
    assert (training["with a mask"], training["without"]) == ("36", "0")
    assert (test["with a mask"], test["without"]) == ("35", "1")
    assert training["area %, least"] == f"{100 * 56 / 2048:.2f}"
    given = {
        row["image_id"]: images.decode_mask(row["mask"]["bytes"]).sum() / 2048
        for row in pq.read_table(project.root / "masks.parquet").to_pylist()
    }
    rows = built(project).data.rows.to_pylist()
    shares = sorted(given[row["image_id"]] for row in rows if row["train"])
    assert training["area %, median"] == f"{50 * (shares[17] + shares[18]):.2f}"


def test_masks_lie_over_their_images(project):
    sheet = kinds(masks.over_images(built(project)), "sheet")[0]
    assert [row.title for row in sheet.rows] == [
        "training", "test", "smallest masks", "largest masks",
    ]  # fmt: skip
    smallest = sheet.rows[2].shots[0]
    assert smallest.label.startswith("2.7 %")
    shown = picture(smallest).astype(int)
    assert shown.shape == (176, 88, 3)
    original = built(project).data.value("image", _position(project, smallest))
    scaled = images.resize(original, 176, 88).astype(int)
    faded = 0.35 * scaled + 0.65 * np.array([244, 244, 242])
    assert np.abs(shown[100:] - faded[100:]).mean() < 6
    inside = (slice(83, 87), slice(12, 76))  # of the band of 2 x 28 pixels, without its outline
    assert np.abs(shown[inside] - faded[inside]).mean() > 20


def _position(project: Project, shot: Shot) -> int:
    return built(project).positions[shot.alt.split(":")[0]]


# -- swaps -----------------------------------------------------------------------------------


def test_partners_are_counted_as_the_pairs_say(project):
    found = swaps.partners(built(project))
    lines = {line["region"]: line for line in cells(kinds(found, "table")[0])}
    assert [*lines] == ["full body", "upper body", "given region"]
    pairs = pq.read_table(project.derived("backgrounds", "toy") / "fit.parquet").to_pylist()
    counts = [len(row["partners"]) for row in pairs]
    assert counts.count(0) == 1
    full = lines["full body"]
    assert (full["images"], full["without a partner"]) == ("36", "1")
    assert full["without a partner %"] == f"{100 / 36:.2f}"
    assert full["partners, mean"] == f"{sum(counts) / 36:.1f}"
    assert len(kinds(found, "table")) == 1, "one viewpoint, unknown: no table of viewpoints"
    assert f"full body: 0 to {max(counts)}" in kinds(found, "figure")[0].alt


def test_partners_by_viewpoint(copy):
    path = copy.derived("backgrounds", "toy") / "fit.json"
    facts = json.loads(path.read_text())
    facts["viewpoints"] = {
        "10": {"images": 6, "partners_median": 2.5}, "2": {"images": 30, "partners_median": 1000.0},
    }  # fmt: skip
    path.write_text(json.dumps(facts))
    lines = cells(kinds(swaps.partners(built(copy)), "table")[1])[:2]
    assert lines == [
        {"region": "full body", "viewpoint": "2", "images": "30", "partners, median": "1,000.0"},
        {"region": "full body", "viewpoint": "10", "images": "6", "partners, median": "2.5"},
    ]


def test_the_sheet_shows_original_background_and_swaps(project):
    data = built(project)
    sheet = kinds(swaps.sheet(data), "sheet")[0]
    assert sheet.headings == [
        "original", "its background", "swap, full body", "swap, upper body", "swap, given region",
    ]  # fmt: skip
    assert len(sheet.rows) == swaps.SHOWN
    stage = data.open(["background", "region", "partners"])
    for row in sheet.rows:
        original, background, full = map(picture, row.shots[:3])
        position = _position(project, row.shots[0])
        donor = data.positions[re.findall(r"of (\S+): person", row.shots[2].alt)[0]]
        image = arrays.square(data.data.value("image", position), 64)
        region = stage.value("region", position)
        assert np.abs(original.astype(int) - image).mean() < 6
        assert np.abs(background.astype(int) - stage.value("background", position)).mean() < 6
        expected = stage.value("background", donor).astype(int)
        expected[region] = image[region]
        assert np.abs(full.astype(int) - expected).mean() < 6
        assert donor in stage.value("partners", position)
        assert data.persons[donor] != data.persons[position]
        camera = data.data.labels("camera")
        assert camera[donor] != camera[position]
        assert row.shots[2].label == f"camera {camera[donor]}"


def test_upper_bodies_are_scaled_into_their_partners(project):
    data = built(project)
    stage = data.open(["background", "region", "rectangle"], backgrounds="toy-upper")
    moved = 0
    for row in kinds(swaps.sheet(data), "sheet")[0].rows:
        position = _position(project, row.shots[3])
        donor = data.positions[re.findall(r"of (\S+): person", row.shots[3].alt)[0]]
        image = arrays.square(data.data.value("image", position), 64)
        cut = image, stage.value("region", position), stage.value("background", donor)
        ends = [tuple(int(v) for v in stage.value("rectangle", i)) for i in (position, donor)]
        scaled, as_it_was = arrays.paste(*cut, *ends), arrays.paste(*cut)
        apart = (scaled != as_it_was).any(-1)
        shown = picture(row.shots[3]).astype(int)
        assert np.abs(shown - scaled).mean() < 6
        if apart.any():  # the two have rectangles of unlike sizes or places
            assert np.abs(shown - scaled)[apart].mean() < np.abs(shown - as_it_was)[apart].mean()
            moved += 1
    assert moved


@pytest.mark.parametrize(
    ("partners", "donor"),
    [
        pytest.param([1, 2, 3, 4, 5], 4, id="the middle one of other cameras"),
        pytest.param([1, 2], 2, id="of the same camera where there is no other"),
    ],
)
def test_choice_of_a_partner(partners, donor):
    assert swaps._donor(partners, 0, np.array([7, 7, 7, 8, 8, 8])) == donor


def test_where_swapped_images_come_from(project):
    made = built(project, "swaps/toy")
    section = swaps.made(made)
    rows = made.data.rows.to_pylist()
    donors = {row["donor_image_id"] for row in rows}
    assert kinds(section, "text")[0].text == (
        f"70 images: the persons of 35 images of toy before the backgrounds of {len(donors)}."
    )
    for row, position in zip(kinds(section, "sheet")[0].rows, (0, 14, 28, 41, 55, 69), strict=True):
        told = [shot.alt.split(":")[0] for shot in row.shots]
        names = ("source_image_id", "donor_image_id", "image_id")
        assert told == [rows[position][name] for name in names]
    assert swaps.made(built(project)) is None


def test_swapped_images_whose_data_set_is_gone(copy):
    shutil.rmtree(copy.shards("toy"))
    assert swaps.made(built(copy, "swaps/toy")) is None
    assert [b.name for b in sources.built_data(copy)] == ["swaps/toy"]


def test_nothing_of_it_without_the_stages(copy):
    shutil.rmtree(copy.root / "data/2-derived")
    for section in (masks.over_images, swaps.sheet, swaps.partners, swaps.made):
        assert section(built(copy)) is None
    assert viewpoints.clusters(built(copy)) is None


def test_a_sheet_where_nobody_has_a_partner(copy):
    found = built(copy)
    data = swaps._open(found, found.shown["backgrounds"])
    data._arrays["backgrounds.partners"] = [None] * len(data)
    assert swaps._choose([data]).tolist() == []
    assert swaps._swap(found, data, 0).label == "no partner"


# -- viewpoints ------------------------------------------------------------------------------


def test_viewpoints_by_poses(copy):
    params = copy.root / "params.yaml"
    poses = "    poses: {dataset: toy, viewpoint: poses, viewpoints: 2, same_viewpoint: true}\n"
    params.write_text(params.read_text().replace("    toy-upper", poses + "    toy-upper"))
    build(copy, "backgrounds", name="poses")
    assert viewpoints.clusters(built(copy)) is not None
    plane, middles = viewpoints.clusters(built(copy)).blocks  # pyright: ignore
    assert plane.caption.startswith("Full body (poses): 36 of 36 normalised training poses")
    facts = json.loads((copy.derived("backgrounds", "poses") / "fit.json").read_text())
    for viewpoint, found in facts["viewpoints"].items():
        assert f"viewpoint {viewpoint}: {found['images']}" in plane.alt
    assert [shot.label for shot in middles.rows[0].shots] == ["viewpoint 0", "viewpoint 1"]
    lines = cells(kinds(swaps.partners(built(copy)), "table")[1])
    assert {line["viewpoint"] for line in lines} == {"-1", "0", "1"}
    shutil.rmtree(copy.derived("joints", "toy"))
    assert viewpoints.clusters(built(copy)) is None


# -- scores ----------------------------------------------------------------------------------


def score(
    project: Project, rank1: float, probability: float = 0.0, seed: int = 0, **wanted
) -> None:
    """The published metrics of a run, as far as they are read here, without training it."""
    overrides = {"swap_probability": probability, "seed": seed, **wanted}
    run = experiments.variant(project, "implicit_attention", "toy", overrides)
    path = project.run(run.name) / "evaluate" / "metrics.json"
    path.parent.mkdir(parents=True)
    found = {f"rank{k}": rank1 for k in (1, 5, 10, 20)}
    path.write_text(json.dumps({
        **found, "map": rank1 / 2, "cmc": [rank1] * 9 + [0.75], "paper": "implicit_attention",
        "params": run.described(), "training": run.key(project),
        "code": run.test_code(project).fingerprint,
    }))  # fmt: skip


def scored(project: Project) -> Section | None:
    with contextlib.chdir(project.root):
        found = sources.runs(project, sources.built_data(project))
    return swap_scores.by_probability(found[0]) if found else None


UPPER = {"builds": {"backgrounds": "toy-upper"}}


def searched_as_the_paper_does(project: Project) -> None:
    """Backgrounds whose manifests say so: these persons have no viewpoint to be searched by."""
    for path in (project.root / "data/2-derived/backgrounds").glob("*/manifest.json"):
        told = json.loads(path.read_text())
        told["parameters"]["same_viewpoint"] = True
        path.unlink()  # it may be a link to the file of other tests
        path.write_text(json.dumps(told))


def test_scores_by_probability_are_means_over_seeds(copy):
    searched_as_the_paper_does(copy)
    for seed, rank1 in enumerate((0.2, 0.4)):
        score(copy, rank1, seed=seed)
        score(copy, rank1 + 0.1, 0.3, seed)
    score(copy, 0.5, 0.5, **UPPER)
    section = scored(copy)
    lines = cells(kinds(section, "table")[0])
    assert [(x["swaps"], x["p"], x["seeds"], x["rank-1"], x["mAP"]) for x in lines] == [
        ("none", "0", "2", "30.00 ± 14.14", "15.00 ± 7.07"),
        ("full body", "0.3", "2", "40.00 ± 14.14", "20.00 ± 7.07"),
        ("upper body", "0.5", "1", "50.00", "25.00"),
    ]
    assert [x["rank-50"] for x in lines] == ["75.00 ± 0.00", "75.00 ± 0.00", "75.00"]
    assert [x["paper, RAP rank-1"] for x in lines] == ["48.5", "69.0", "64.8"]
    assert kinds(section, "figure")[0].alt == (
        "Triplet: scores by the probability of a swap. full body: rank-1 30.0 % at 0, 40.0 % at "
        "0.3; upper body: rank-1 30.0 % at 0, 50.0 % at 0.5."
    )


def test_what_is_printed_is_of_the_same_region_and_probability(copy):
    searched_as_the_paper_does(copy)
    for probability in (0.3, 0.5):
        score(copy, 0.5, probability)
        score(copy, 0.5, probability, **UPPER)
        score(copy, 0.5, probability, builds={"backgrounds": "other"})
    lines = cells(kinds(scored(copy), "table")[0])
    printed = {(x["swaps"], x["p"]): x["paper, RAP mAP"] for x in lines}
    assert printed == {
        ("full body", "0.3"): "46.3", ("full body", "0.5"): "not printed",
        ("upper body", "0.3"): "not printed", ("upper body", "0.5"): "42.4",
        ("given region", "0.3"): "not printed", ("given region", "0.5"): "not printed",
    }  # fmt: skip


def test_nothing_is_printed_of_another_search_of_partners(copy):
    for probability in (0, 0.3):
        score(copy, 0.5, probability)
    lines = cells(kinds(scored(copy), "table")[0])
    assert [x["paper, RAP rank-1"] for x in lines] == ["48.5", "not printed"]


def test_runs_that_differ_in_more_are_no_line(copy):
    for configuration in ("triplet", "softmax"):
        score(copy, 0.2, configuration=configuration)
        score(copy, 0.3, 0.3, configuration=configuration)
    score(copy, 0.9, 0.3, configuration="triplet", epochs=1)
    found = kinds(scored(copy), "table")
    titles = sorted(table.caption.split(":")[0] for table in found)
    assert titles == ["Softmax (epochs 2)", "Triplet (epochs 2)"]
    assert all(line["seeds"] == "1" for table in found for line in cells(table))


def test_the_same_training_by_two_names_counts_once(copy):
    score(copy, 0.2)
    score(copy, 0.3, 0.3)
    twin = next(p for p in copy.run("x").parent.glob("*") if '"rank1": 0.2' in
                (p / "evaluate/metrics.json").read_text())  # fmt: skip
    shutil.copytree(twin, copy.run("toy-plain"))
    assert [x["seeds"] for x in cells(kinds(scored(copy), "table")[0])] == ["1", "1"]


@pytest.mark.parametrize(
    "spoil",
    [
        pytest.param({"training": "of other data"}, id="of data as they were before"),
        pytest.param(
            {"params": {"dataset": "toy", "swap_probability": 2}}, id="no such parameters"
        ),
        pytest.param({"paper": "attention_driven"}, id="of another paper"),
    ],
)
def test_runs_that_are_not_of_now_are_left_out(copy, spoil):
    score(copy, 0.2)
    score(copy, 0.3, 0.3)
    assert scored(copy) is not None
    path = next(copy.run("x").parent.glob("*")) / "evaluate/metrics.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **spoil}))
    assert scored(copy) is None, "one probability alone is no line"


def test_a_build_that_is_gone(copy):
    score(copy, 0.2)
    score(copy, 0.3, 0.5, **UPPER)
    shutil.rmtree(copy.derived("backgrounds", "toy-upper"))
    assert scored(copy) is None
