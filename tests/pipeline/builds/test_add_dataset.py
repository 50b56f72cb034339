"""Adding a data set: all checked first, one link, one digest, params.yaml with its comments."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
from ruamel.yaml import YAML

from pipeline import datasets
from pipeline.builds.add_dataset import add, wanted
from pipeline.builds.params_edit import with_entries
from pipeline.commands.build import make_plan
from pipeline.datasets.base import Sample
from pipeline.engine import run as engine
from pipeline.stages import ingest
from pipeline.stages import stage as find_stage
from reid import experiments
from reid.arrays.images import encode_jpeg
from reid.papers import PAPERS
from reid.project.errors import ReidError
from reid.project.layout import Project
from reid.project.params import check, load, stage_params
from reid.results.printed_row import EvaluatedOn, printed_row
from tests.pipeline.overhead import frame_of

REPOSITORY = Path(__file__).parents[3]
PARAMS = """\
# What is built.
run: {executor: pool, workers: 0} # how

world: # rendered
  with: {}
  on:
    street:
      scene: street

# The raw data sets.
ingest:
  with: {}
  on:
    street:
      reader: market1501 # its layout

joints:
  with: {}
  on:
    # the demo's
    street:
      backend: given # the world's truth
      path: "data/0-raw/street.truth"

parts:
  with:
    beta: 0.1041667 # 5/48
    rate: 3e-4
  on:
    street: {}

attention_driven:
  with:
    dataset: street
    seed: 0
  scale:
    street: {epochs: 20}
  on:
    street-baseline: {dataset: street, model: baseline}

strong_baseline:
  with: {seed: 0}
  scale: {}
  on: {}
# the end
"""
ADDED = """\
# What is built.
run: {executor: pool, workers: 0} # how

world: # rendered
  with: {}
  on:
    street:
      scene: street

# The raw data sets.
ingest:
  with: {}
  on:
    street:
      reader: market1501 # its layout
    market:
      reader: market1501

joints:
  with: {}
  on:
    # the demo's
    street:
      backend: given # the world's truth
      path: "data/0-raw/street.truth"
    market:
      dataset: market
      backend: mmpose

parts:
  with:
    beta: 0.1041667 # 5/48
    rate: 3e-4
  on:
    street: {}
    market:
      dataset: market

attention_driven:
  with:
    dataset: street
    seed: 0
  scale:
    street: {epochs: 20}
    market: {}
  on:
    street-baseline: {dataset: street, model: baseline}
    market-part-baseline:
      dataset: market
      model: baseline
    market-intra-inter:
      dataset: market
      model: intra_inter

strong_baseline:
  with: {seed: 0}
  scale:
    market: {}
  on:
    market-strong:
      dataset: market
# the end
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "project"
    root.mkdir()
    (root / "params.yaml").write_text(PARAMS)
    return root


@pytest.fixture
def source(tmp_path: Path) -> Path:
    source = tmp_path / "downloads" / "Market-1501-v15.09.15"
    for name in (
        "bounding_box_train/0002_c1s1_000451_03.jpg",
        "bounding_box_test/0001_c2s1_000301_01.jpg",
        "query/0001_c1s1_001051_00.jpg",
    ):
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).write_bytes(b"1234")
    return source


def state(root: Path) -> dict[str, bytes | str]:
    """Every file and link of the project but its locks, links not followed."""
    found: dict[str, bytes | str] = {}
    for folder, folders, files in os.walk(root):
        for path in (Path(folder) / name for name in [*folders, *files]):
            name = str(path.relative_to(root))
            found[name] = str(path.readlink()) if path.is_symlink() else ""
            if path.is_file() and folder != str(root / ".work" / "locks"):
                found[name] = path.read_bytes()
    return found


def test_link_digest_and_parameters(root, source):
    lines = add(root, "market", "market1501", source)
    assert (root / "data/0-raw/market").readlink() == source
    digest = json.loads((root / "data/0-raw/market.json").read_text())
    assert (digest["files"], digest["bytes"]) == (3, 12)
    assert (root / "params.yaml").read_text() == ADDED
    assert lines[0] == f"{source}: 3 images, 0 rejects"
    assert "train 1 (12,936)" in lines[1]
    assert f"{root}/data/0-raw/market: linked to {source}" in lines
    assert lines[-1] == "next: dvc repro strong_baseline_evaluate@market-strong"
    assert lines[-2] == (
        "params.yaml: the paper begins from 9 epochs of ImageNet, and without them these train "
        "from scratch: run `reid pretrain attention_driven --root IMAGENET`, and give `weights: "
        "PATH` in attention_driven.scale.market"
    )
    assert lines[-3] == (
        "params.yaml: added ingest.on.market, joints.on.market, parts.on.market, "
        "attention_driven.scale.market, attention_driven.on.market-part-baseline, "
        "attention_driven.on.market-intra-inter, strong_baseline.scale.market, "
        "strong_baseline.on.market-strong"
    )


def test_twice_changes_nothing(root, source):
    add(root, "market", "market1501", source)
    before = state(root)
    lines = add(root, "market", "market1501", source)
    assert state(root) == before
    assert f"{root}/data/0-raw/market: is there already" in lines
    assert lines[-2] == "params.yaml: has market already; nothing to add"


def test_what_was_lost_is_completed_and_the_rest_left(root, source):
    add(root, "market", "market1501", source)
    text = (root / "params.yaml").read_text()
    changed = text.replace("backend: mmpose", "backend: torchvision")
    lost = "    street: {}\n    market:\n      dataset: market\n"
    changed = changed.replace(lost, "    street: {}\n").replace("    market: {}\n", "")
    (root / "params.yaml").write_text(changed)
    (root / "data/0-raw/market.json").unlink()
    lines = add(root, "market", "market1501", source)
    assert lines[-3] == (
        "params.yaml: added parts.on.market, attention_driven.scale.market, "
        "strong_baseline.scale.market"
    )
    assert (root / "params.yaml").read_text() == text.replace("mmpose", "torchvision")
    assert (root / "data/0-raw/market.json").is_file()


def test_the_folder_above_links_the_data_set_alone(root, source):
    (source.parent / "another data set").mkdir()
    add(root, "market", "market1501", source.parent)
    assert (root / "data/0-raw/market").readlink() == source
    assert add(root, "market", "market1501", source)[-2].endswith("nothing to add")


@pytest.mark.parametrize("inner", ["", "Market-1501-v15.09.15"])
def test_a_data_set_that_lies_in_its_place_is_not_linked(root, source, inner):
    place = root / "data/0-raw/market"
    (place / inner).parent.mkdir(parents=True)
    source.rename(place / inner)
    lines = add(root, "market", "market1501", place)
    assert f"{place}: is there already" in lines
    assert not place.is_symlink()


def test_rejects_are_shown(root, source):
    (source / "query" / "readme.txt").touch()
    lines = add(root, "market", "market1501", source)
    assert lines[:2] == [
        f"{source}: 3 images, 1 rejects",
        "  query/readme.txt: not a Market-1501 name such as 0002_c1s1_000451_03.jpg",
    ]


def test_joints_backend(root, source):
    add(root, "market", "market1501", source, joints_backend="given", joints_path="poses.csv")
    assert load(root)["joints"]["on"]["market"] == {
        "dataset": "market",
        "backend": "given",
        "path": "poses.csv",
    }


def test_a_scaled_section_is_pointed_at(root, source):
    scaled = PARAMS.replace("    seed: 0\n", "    seed: 0\n    epochs: 8\n    height: 128\n")
    (root / "params.yaml").write_text(scaled)
    line = add(root, "market", "market1501", source)[-3]
    assert line.startswith("params.yaml: attention_driven.with sets epochs, height for these too;")


# --------------------------------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        pytest.param({"name": "Market"}, "'Market' cannot name a data set", id="upper case"),
        pytest.param({"name": "../x"}, "cannot name a data set", id="a path"),
        pytest.param({"name": "a.truth"}, "cannot name a data set", id="a dot"),
        pytest.param({"name": ""}, "cannot name a data set", id="no name"),
        pytest.param({"name": "street"}, "`street` is a rendered world", id="a world's name"),
        pytest.param({"reader": "market"}, "did you mean `market1501`", id="unknown reader"),
        pytest.param({"joints_backend": "given"}, "it needs one", id="given without a path"),
        pytest.param({"joints_path": "x"}, "goes with backend `given`", id="a path without given"),
    ],
)
def test_bad_arguments_write_nothing(root, source, arguments, message):
    before = state(root)
    with pytest.raises(ReidError, match=message):
        add(root, **{"name": "market", "reader": "market1501", "source": source} | arguments)
    assert state(root) == before


def test_no_such_data_set_writes_nothing(root, source):
    before = state(root)
    (source / "query").rename(source / "queries")
    with pytest.raises(ReidError, match="no folder query; this is not a Market-1501 download"):
        add(root, "market", "market1501", source)
    with pytest.raises(ReidError, match="nowhere: no such folder"):
        add(root, "market", "market1501", source / "nowhere")
    assert state(root) == before


def test_an_empty_data_set_writes_nothing(root, source):
    before = state(root)
    for path in source.rglob("*.jpg"):
        path.rename(path.with_suffix(".png"))
    with pytest.raises(ReidError, match="no image was found for reader market1501"):
        add(root, "market", "market1501", source)
    assert state(root) == before


@pytest.mark.parametrize(
    ("make", "message"),
    [
        pytest.param(lambda p: p.symlink_to("/"), "links to /, not to", id="another link"),
        pytest.param(lambda p: p.symlink_to("none"), "links to none, not to", id="to nothing"),
        pytest.param(lambda p: p.symlink_to(p.name), "links to market, not", id="to itself"),
        pytest.param(lambda p: p.mkdir(), "is there already, and no link", id="a folder"),
        pytest.param(lambda p: p.touch(), "is there already, and no link", id="a file"),
    ],
)
def test_another_thing_in_its_place_stays(root, source, make, message):
    (root / "data/0-raw").mkdir(parents=True)
    make(root / "data/0-raw/market")
    before = state(root)
    with pytest.raises(ReidError, match=message):
        add(root, "market", "market1501", source)
    assert state(root) == before


def test_a_data_set_around_the_project_is_refused(root):
    for folder in ("bounding_box_train", "bounding_box_test", "query"):
        (root / folder).mkdir()
        (root / folder / "0001_c1s1_001051_00.jpg").touch()
    before = state(root)
    with pytest.raises(ReidError, match="where it would be linked"):
        add(root, "market", "market1501", root)
    assert state(root) == before


def test_a_name_with_another_reader_is_refused(root, source):
    text = PARAMS.replace(
        "reader: market1501 # its layout", "reader: duke\n    other: {reader: duke}"
    )
    (root / "params.yaml").write_text(text)
    with pytest.raises(ReidError, match=r"ingest.on.other has reader duke, not market1501"):
        add(root, "other", "market1501", source)
    assert not (root / "data").exists()


def test_no_right_to_link_is_one_line(root, source, monkeypatch):
    def symlink_to(self, target, target_is_directory=False):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "symlink_to", symlink_to)
    before = (root / "params.yaml").read_bytes()
    with pytest.raises(ReidError, match=r"market: cannot be linked to .*: Permission denied"):
        add(root, "market", "market1501", source)
    assert (root / "params.yaml").read_bytes() == before


# --------------------------------------------------------------------------- layouts of params.yaml


LAYOUTS = {
    "empty sections": ("ingest:\njoints:\nparts:\n  on:\nattention_driven: {}\n", []),
    "no sections": ("# only this\nrun: {workers: 0}\n", ["# only this"]),
    "flow style": (
        "ingest: {with: {}, on: {street: {reader: market1501}}} # first\n"
        "joints: {with: {}, on: {}} # second\n\n# third\nparts: {on: {street: {}}}\n",
        ["# first", "# second", "# third"],
    ),
    "comments everywhere": (
        "# a\ningest: # b\n  # c\n  on: # d\n    # e\n    street: # f\n      # g\n"
        "      reader: market1501 # h\n    # i\n  # j\n  with: {} # k\n# l\n",
        [f"# {c}" for c in "abcdefghijkl"],
    ),
    "lists and anchors": (
        "parts:\n  with: &demo\n    sizes:\n      - 1\n      - 2 # two\n  on:\n    street:\n"
        "      <<: *demo\n      views:\n        - a # first\n        - b # last\n"
        "\n# after\njoints:\n",
        ["# two", "# first", "# last", "# after"],
    ),
    "an anchor with a comment": (
        "attention_driven:\n  scale:\n    a: &small # of a \\ 1\n      epochs: 2\n"
        "    b:\n      <<: *small # as a\n",
        ["    a: &small # of a \\ 1\n      epochs", "<<: *small # as a"],
    ),
    "four spaces": (PARAMS.replace("  ", "    "), ["# the end", "# 5/48"]),
    "words like values": ("ingest:\n  on:\n    'null': {reader: market1501}\n    yes: {}\n", []),
}


@pytest.mark.parametrize(("text", "comments"), LAYOUTS.values(), ids=LAYOUTS.keys())
def test_any_layout_keeps_its_values_lines_and_comments(root, source, text, comments):
    (root / "params.yaml").write_text(text)
    before = YAML(typ="safe", pure=True).load(text)
    add(root, "market", "market1501", source)
    after = load(root)
    assert after["ingest"]["on"].pop("market") == {"reader": "market1501"}
    assert after["joints"]["on"].pop("market") == {
        "dataset": "market",
        "backend": "mmpose",
    }
    assert after["parts"]["on"].pop("market") == {"dataset": "market"}
    assert list(after["attention_driven"]["on"])[-2:] == [
        "market-part-baseline",
        "market-intra-inter",
    ]
    for section, values in before.items():
        for key, value in (values or {}).items():
            kept = after[section][key]
            if isinstance(value, dict):
                assert {k: kept[k] for k in value} == value
            elif value is not None:  # an empty `on:` was filled
                assert kept == value
    written = (root / "params.yaml").read_text()
    assert [written.count(comment) for comment in comments] == [1] * len(comments)


def test_four_spaces_stay_four(root, source):
    (root / "params.yaml").write_text(PARAMS.replace("  ", "    "))
    add(root, "market", "market1501", source)
    assert (root / "params.yaml").read_text() == ADDED.replace("  ", "    ")


@pytest.mark.parametrize("name", ["1501", "null", "true", "1e5", "0x1f", "on", "a-b_c"])
def test_names_that_look_like_values_stay_names(root, source, name):
    add(root, name, "market1501", source)
    assert load(root)["ingest"]["on"][name] == {"reader": "market1501"}
    assert add(root, name, "market1501", source)[-2].endswith("nothing to add")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param("ingest: 3\n", "`ingest` must hold keys, not 3", id="no mapping"),
        pytest.param("ingest: {on: [street]}\n", r"`ingest.on` must hold keys", id="a list"),
        pytest.param("ingest: {on: {a: 1, a: 2}}\n", "not valid YAML", id="a key twice"),
        pytest.param("ingest: [\n", "not valid YAML", id="broken"),
    ],
)
def test_a_bad_parameters_file_is_one_line(root, source, text, message):
    (root / "params.yaml").write_text(text)
    with pytest.raises(ReidError, match=message):
        add(root, "market", "market1501", source)
    assert (root / "params.yaml").read_text() == text
    assert not (root / "data").exists()


def test_video_gets_flow_and_mutual_attention_and_two_cameras_the_siamese_network():
    entries = {str(entry): entry.values for entry in wanted("mine", "ilids_vid", "mmpose", "")}
    lucas_kanade = {"dataset": "mine", "backend": "lucas_kanade"}
    flow, siamese = {"flow": "mine"}, {"flow": "mine-lucas-kanade"}
    assert entries["flow.on.mine"] == {"dataset": "mine"}
    assert entries["flow.on.mine-lucas-kanade"] == lucas_kanade
    assert entries["mutual_attention.on.mine-mutual"] == {
        "dataset": "mine", "builds": flow, "sequence_length": 16
    }  # fmt: skip
    assert entries["attentive_convlstm.on.mine-convlstm"] == {"dataset": "mine", "builds": siamese}
    of_six = {str(entry) for entry in wanted("mine", "mars", "mmpose", "")}
    assert "mutual_attention.on.mine-one-stream" in of_six
    assert not any("convlstm" in entry or "lucas" in entry for entry in of_six)


def test_the_sum_that_is_not_the_papers_stands_beside_it_and_says_why(root):
    text = with_entries(root / "params.yaml", load(root), wanted("mine", "mars", "mmpose", ""))
    (root / "params.yaml").write_text(text)
    literal, other = (
        experiments.load(Project(root), f"mine-mutual{how}").params for how in ("", "-normalized")
    )
    assert literal.model_copy(update={"weighted_normalized": True}) == other
    assert "weighted_normalized: true # the literal sum of 16 frames is up to 43 times" in text
    assert "flow_maximum_px: # measured: 99 in 100 pixels" in text
    assert literal.flow_maximum_px is None


@pytest.mark.parametrize("reader", ["cuhk03_labeled", "cuhk03_detected"])
def test_the_part_network_has_the_classic_split_of_cuhk03_and_the_strong_baseline_the_new(reader):
    entries = wanted("mine", reader, "mmpose", "")
    rules = {e.key: e.values.get("protocol") for e in entries if e.section == "attention_driven"}
    assert rules.pop("mine") is None
    assert set(rules.values()) == {"classic-01"}
    (strong,) = [e for e in entries if str(e) == "strong_baseline.on.mine-strong"]
    assert "protocol" not in strong.values


BESIDE = {  # each experiment that is added, and what its paper prints of it, in the tables' order
    "market1501-part-baseline": "r1 86.63 mAP 66.25",
    "market1501-intra-inter": "r1 94.65 mAP 85.22 r5 98.21 r10 98.96 r20 99.38",
    "dukemtmc_reid-part-baseline": "r1 75.98 mAP 57.23",
    "dukemtmc_reid-intra-inter": "r1 84.78 mAP 71.92 r5 92.1 r10 94.3",
    "cuhk03_labeled-part-baseline": "r1 85.46", "cuhk03_labeled-intra-inter": "r1 94.96",
    "cuhk03_detected-part-baseline": "r1 80.02", "cuhk03_detected-intra-inter": "r1 93.45",
    "rap-no-swaps": "r1 48.5 r5 69.7 r10 77.6 mAP 33.5",
    "rap-full-body": "r1 69.0 r5 83.6 r10 88.1 mAP 46.3",
    "tvpr-rgb-d-full-frames": "r1 63.83 r5 89.36 r10 93.62 r20 97.87",
    "tvpr-rgb-d": "r1 80.85 r5 92.55 r10 92.55 r20 95.74",
    "tvpr-mat": "r1 82.98 r5 93.62 r10 94.68 r20 96.81",
    "dpit-rgb-d": "r1 90.36 r5 99.6 r10 100 r20 100",
    "dpit-mat": "r1 92.37 r5 99.6 r10 100 r20 100",
    "opr-rgb-d": "r1 45.63 r5 82.81 r10 94.69 r20 99.69",
    "opr-mat": "r1 49.06 r5 89.06 r10 95.62 r20 99.38",
    "mars-one-stream": "mAP 75.8 r1 83.1", "mars-mutual": "mAP 80.0 r1 86.6",
    "dukemtmc_video-mutual": "mAP 94.9 r1 95.6", "ilids_vid-mutual": "r1 86.2 r5 96.4",
    "ilids_vid-convlstm": "r1 63.3 r5 87.4 r10 94 r20 97.8",
}  # fmt: skip
FIRST_RULE = {"opr": "split-01", "ilids_vid": "split-01", "prid2011": "split-01"}


@pytest.mark.parametrize("reader", datasets.READERS)
def test_beside_what_is_added_stands_what_its_paper_prints_of_that_data_set(reader, tmp_path):
    """All else is "not printed": other data sets, CUHK03's new rule, the normalised sum."""
    (tmp_path / "params.yaml").write_text((REPOSITORY / "params.yaml").read_text())
    entries = wanted(reader, reader, "mmpose", "")
    text = with_entries(tmp_path / "params.yaml", load(tmp_path), entries)
    (tmp_path / "params.yaml").write_text(text)
    loaded, told = load(tmp_path), {}
    for paper, name, _, group, _ in entries:
        if paper not in PAPERS or group != "on":
            continue
        experiment = experiments.load(Project(tmp_path), name)
        own = experiment.params.dataset
        stages = [*experiment.stages, *experiment.paper.training_stages(experiment.params)]
        builds = {
            stage: stage_params(
                loaded, stage, experiment.params.builds.get(stage, own), find_stage(stage).params
            ).model_dump()
            for stage in stages
        }
        on = EvaluatedOn(reader, own.rpartition("/")[0], first_rule=FIRST_RULE.get(reader, "first"))
        numbers = printed_row(experiment, on, builds).numbers
        assert set(numbers) <= {reader}
        told[name] = " ".join(f"{m} {v}" for m, v in numbers.get(reader, {}).items())
    assert {n: t for n, t in told.items() if t} == {
        name: text for name, text in BESIDE.items() if name in told
    }
    assert told


@pytest.mark.parametrize("reader", datasets.READERS)
def test_what_is_added_has_the_codes_defaults_but_for_what_is_written(reader, tmp_path):
    """Beside the demo: none of its values hold for a data set that is added."""
    entries = wanted("mine", reader, "mmpose", "")
    (tmp_path / "params.yaml").write_text((REPOSITORY / "params.yaml").read_text())
    text = with_entries(tmp_path / "params.yaml", load(tmp_path), entries)
    (tmp_path / "params.yaml").write_text(text)
    loaded, project = load(tmp_path), Project(tmp_path)
    scales = {str(e): e.values for e in entries if e.group == "scale"}
    for section, key, values, group, _ in entries:
        if section in PAPERS and group == "on":
            scale = scales[f"{section}.scale.{values['dataset']}"]
            expected = check(experiments.params_model(section), {**scale, **values}, key)
            assert experiments.load(project, key).params == expected
        elif group == "on":
            model = ingest.Params if section == "ingest" else find_stage(section).params
            assert stage_params(loaded, section, key, model) == check(model, values, key)


def test_rap_gets_masks_backgrounds_and_both_experiments():
    entries = {str(entry): entry.values for entry in wanted("mine", "rap", "mmpose", "")}
    assert entries == {
        "ingest.on.mine": {"reader": "rap"},
        "masks.on.mine": {"dataset": "mine"},
        "backgrounds.on.mine": {"dataset": "mine"},
        "implicit_attention.scale.mine": {},
        "implicit_attention.on.mine-no-swaps": {
            "dataset": "mine", "builds": {"backgrounds": "mine"}, "swap_probability": 0,
        },
        "implicit_attention.on.mine-full-body": {
            "dataset": "mine", "builds": {"backgrounds": "mine"}, "swap_probability": 0.3,
        },
    }  # fmt: skip


# ------------------------------------------------------------------------------- seen from above


MODELS = {"rgb-d": {"model": "rgb_d_cnn"}, "mat": {"model": "mat"}}


@pytest.mark.parametrize("reader", ["dpit", "opr"])
def test_whole_frames_from_above_get_depth_as_colours_and_both_networks(reader):
    read = {"dataset": "mine", "rows": "1-shards/mine"}
    assert {str(e): e.values for e in wanted("mine", reader, "mmpose", "")} == {
        "ingest.on.mine": {"reader": reader},
        "jet.on.mine": read,
        "multimodal_attention.scale.mine": {},
        **{
            f"multimodal_attention.on.mine-{name}": {**read, "builds": {"jet": "mine"}, **model}
            for name, model in MODELS.items()
        },
    }


def test_tvpr_gets_crops_and_a_network_of_whole_frames_too():
    frames = {"dataset": "mine", "rows": "1-shards/mine"}
    crops = {"dataset": "crops/mine", "rows": "2-derived/crops/mine"}
    assert {str(e): e.values for e in wanted("mine", "tvpr", "mmpose", "")} == {
        "ingest.on.mine": {"reader": "tvpr"},
        "crops.on.mine": {"dataset": "mine"},
        "jet.on.mine": frames,
        "jet.on.mine-crops": crops,
        "multimodal_attention.scale.mine": {"pool": "max"},
        "multimodal_attention.scale.crops/mine": {"pool": "max", "builds": {"jet": "mine-crops"}},
        "multimodal_attention.on.mine-rgb-d-full-frames": {
            **frames, "builds": {"jet": "mine"}, "model": "rgb_d_cnn",
        },
        **{
            f"multimodal_attention.on.mine-{name}": {
                **crops, "builds": {"jet": "mine-crops"}, **model,
            }
            for name, model in MODELS.items()
        },
    }  # fmt: skip


def raw(reader: str, root: Path) -> Path:
    """Four persons who pass twice, in the reader's layout."""

    def samples():
        for camera, role in ((1, "train"), (2, "query")):
            for person in range(1, 5):
                for step in range(3):
                    image, depth_mm = frame_of([(2 + 9 * step, 8 + 5 * person)], step)
                    # frames are counted per recording, which in DPI-T is one person's video
                    number = 1000 * camera + 100 * person + step if reader == "tvpr" else step
                    yield Sample(image, person, camera, role, frame=number,
                                 tracklet=person if reader == "dpit" else 1,
                                 depth_mm=depth_mm)  # fmt: skip

    list(datasets.reader(reader).write(root, samples()))
    return root


READERS = ("tvpr", "dpit", "opr")


@pytest.mark.parametrize("reader", READERS)
def test_what_is_added_is_at_the_papers_size_and_fits_the_flow(root, tmp_path, reader):
    """Each experiment can be loaded, and DVC finds its rows and its depth as colours."""
    add(root, "mine", reader, raw(reader, tmp_path / "raw"))
    written, loaded = (root / "params.yaml").read_text(), load(root)
    assert "&" not in written, "an anchor, for two parts that are equal"
    assert "# the end" in written
    project, on = Project(root), loaded["multimodal_attention"]["on"]
    assert len(on) == (3 if reader == "tvpr" else 2)
    for name, entry in on.items():
        experiment = experiments.load(project, name)
        params, (jet,) = experiment.params, [entry["builds"]["jet"]]
        assert project.shards(params.dataset) == project.root / "data" / entry["rows"]
        assert loaded["jet"]["on"][jet] == {k: entry[k] for k in ("dataset", "rows")}
        assert (params.side, params.width_scale, params.encoder_epochs) == (227, 1.0, 100)
        assert params.pool == ("max" if reader == "tvpr" else "mean")
        row = experiments.variant(project, experiment.paper.name, params.dataset, {"model": "mat"})
        assert row.params.builds.get("jet", params.dataset) == jet, "rows of tables find it"


@pytest.mark.parametrize("reader", READERS)
def test_what_is_added_can_be_built_and_opened(root, tmp_path, monkeypatch, reader):
    add(root, "mine", reader, raw(reader, tmp_path / "raw"))
    text, crops = (root / "params.yaml").read_text(), "crops:\n  on:\n    mine:\n"
    (root / "params.yaml").write_text(text.replace(crops, f"{crops}      backend: depth\n"))
    monkeypatch.chdir(root)
    project, loaded = Project(root), load(root)
    for stage in ("ingest", "crops", "jet"):
        for name in loaded.get(stage, {}).get("on", {}):
            if name.startswith("mine"):
                engine.run(make_plan(stage, name, project, "cpu"), project, executor="local")
    for name in loaded["multimodal_attention"]["on"]:
        data = experiments.load(project, name).open(project)
        assert len(data) == 24
        first = data[0]
        assert first["jet"].shape == first["image"].shape
        assert (first["jet"].shape == (48, 64, 3)) == ("crops" not in data.base.folder.parts)


@pytest.mark.parametrize("reader", READERS)
def test_the_weights_to_begin_from_are_asked_for(root, tmp_path, reader):
    source = raw(reader, tmp_path / "raw")
    line = add(root, "mine", reader, source)[-2]
    assert line.startswith("params.yaml: the paper begins from CaffeNet's published weights: give")
    assert "multimodal_attention.scale.mine" in line
    assert ("multimodal_attention.scale.crops/mine" in line) == (reader == "tvpr")
    assert add(root, "mine", reader, source)[-2].endswith("nothing to add")


def test_weights_that_hold_for_all_are_not_asked_for(root, tmp_path):
    given = PARAMS + "multimodal_attention: {with: {weights: caffenet.safetensors}}\n"
    (root / "params.yaml").write_text(given)
    assert "params.yaml: added" in add(root, "mine", "opr", raw("opr", tmp_path / "raw"))[-2]


def test_other_data_sets_need_no_such_weights(root, source):
    assert "CaffeNet" not in "".join(add(root, "market", "market1501", source))


# ------------------------------------------------------------------------------- one's own folder


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Six persons before two cameras, three images each, named person/camera_frame.jpg."""
    root = tmp_path / "photos"
    random = np.random.default_rng(0)
    for person in range(6):
        (root / f"person {person}").mkdir(parents=True)
        for camera in ("left", "right"):
            for frame in range(3):
                image = random.integers(0, 256, (32, 16, 3), dtype=np.uint8)
                path = root / f"person {person}" / f"{camera}_{frame}.jpg"
                path.write_bytes(encode_jpeg(image))
    return root


def test_a_folder_of_photos_is_a_data_set_in_one_line(root, photos, monkeypatch):
    monkeypatch.chdir(root)
    lines = add(Path(), "mine", "folder", photos, split=0.5, small=True)
    assert lines[-1] == "next: dvc repro strong_baseline_evaluate@mine-strong"
    (told,) = [line for line in lines if "from scratch" in line]
    assert "nothing is downloaded" in told
    loaded = load(Path())
    assert loaded["ingest"]["on"]["mine"] == {"reader": "folder", "split": 0.5, "split_seed": 0}
    assert "mine" not in loaded["attention_driven"]["on"]
    assert "mine" not in loaded["joints"]["on"]
    assert "channels: [16, 32, 64, 128]\n" in Path("params.yaml").read_text()
    project = Project(Path())
    engine.run(make_plan("ingest", "mine", project, "cpu"), project, executor="local")
    card = (project.shards("mine") / "README.md").read_text()
    assert 'parameters {"reader": "folder", "split": 0.5, "split_seed": 0}' in card
    assert "one image of each person and camera is a query" in card
    params = experiments.load(project, "mine-strong").params
    assert params.weights == ""
    assert params.channels == (16, 32, 64, 128)
    assert params.batch == 3 * params.images, "three persons train; more would not be filled"
    again = add(Path(), "mine", "folder", photos, small=True)
    assert again[-2] == "params.yaml: has mine already; nothing to add"


def test_the_full_size_can_follow_the_small_one(root, photos):
    add(root, "mine", "folder", photos, split=0.5, small=True)
    small = load(root)["strong_baseline"]
    lines = add(root, "mine", "folder", photos)
    assert "attention_driven.on.mine-part-baseline" in next(li for li in lines if "added" in li)
    assert load(root)["strong_baseline"] == small


def test_only_leaves_what_is_rendered_out_of_the_flow(root, source):
    text = (REPOSITORY / "params.yaml").read_text()
    (root / "params.yaml").write_text(text)
    lines = add(root, "market", "market1501", source, only=True)
    assert any("took out the rendered worlds street, mall, topview, hall" in li for li in lines)
    for name, section in load(root).items():
        for group in ("on", "scale") if name != "run" else ():
            assert all("market" in key for key in section.get(group) or {}), name
    assert (root / "data/4-reports/accuracy").is_dir(), "DVC's report looks there"


@pytest.mark.parametrize(
    ("given", "message"),
    [
        pytest.param({"split": 0.5}, "have roles of their own", id="split"),
        pytest.param({"reader": "mars", "small": True}, "no paper has a small", id="small"),
        pytest.param({"only": True}, "attention_driven.on.mine would lack what goes", id="only"),
    ],
)  # fmt: skip
def test_what_cannot_be_asked_for_writes_nothing(root, source, given, message):
    reading = (
        "    street-baseline: {dataset: street, model: baseline}\n    mine: {dataset: street}\n"
    )
    text = PARAMS.replace("    street-baseline: {dataset: street, model: baseline}\n", reading)
    (root / "params.yaml").write_text(text)
    before = state(root)
    with pytest.raises(ReidError, match=message):
        add(root, **{"name": "market", "reader": "market1501", "source": source} | given)
    assert state(root) == before
