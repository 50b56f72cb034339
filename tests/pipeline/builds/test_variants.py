"""A stage built once more with other parameters, beside the data set's own build."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import reid
from pipeline.builds import variants
from pipeline.commands.build import make_plan
from pipeline.engine import run as engine
from reid.project.errors import ReidError
from reid.project.layout import Project
from tests.conftest import contents


@pytest.fixture
def built(toy: Project) -> Project:
    for name in ("ingest", "joints", "parts"):
        engine.run(make_plan(name, "toy", toy), toy, executor="local")
    return toy


def test_the_build_has_a_name_of_its_own_and_leaves_the_first_alone(built: Project):
    before = contents(built.derived("parts", "toy"))
    name = variants.build(built, "parts", "toy", {"beta": 3 / 48})
    assert name == "toy~beta-0.0625"
    assert contents(built.derived("parts", "toy")) == before
    own = reid.open("data", "toy", ["parts"])
    other = reid.open("data", "toy", ["parts"], builds={"parts": name})
    boxes = own.value("parts", 5), other.value("parts", 5)
    assert (boxes[1][1] != boxes[0][1]).any(), "the head's box reaches less far down"
    height = boxes[0][0][3] - boxes[0][0][1]  # the whole body's box is the same
    np.testing.assert_allclose(boxes[0][0], boxes[1][0])
    np.testing.assert_allclose(boxes[0][1][3] - boxes[1][1][3], height * 2 / 48, rtol=1e-4)


def test_what_params_yaml_says_of_the_own_build_holds(built: Project):
    name = variants.build(built, "parts", "toy", {"beta": 0.0, "seed": 3})
    text = (built.derived("parts", name) / "manifest.json").read_text()
    assert '"canonical_poses": 3' in text
    assert name == "toy~beta-0~seed-3"


def test_a_second_time_nothing_is_computed(built: Project, monkeypatch: pytest.MonkeyPatch):
    variants.build(built, "parts", "toy", {"beta": 0.0})
    monkeypatch.setattr(engine.Journal, "keep", lambda *_: pytest.fail("a shard is computed"))
    assert variants.build(built, "parts", "toy", {"beta": 0.0}) == "toy~beta-0"


def test_a_wrong_parameter_or_stage_is_named(built: Project):
    with pytest.raises(ReidError, match="did you mean `beta`"):
        variants.build(built, "parts", "toy", {"bta": 0.0})
    with pytest.raises(ReidError, match="no stage `pats`"):
        variants.build(built, "pats", "toy", {})


def test_a_stage_may_read_another_build_but_of_the_same_data_set(built: Project):
    text = Path("params.yaml").read_text()
    given = "backend: given, path: joints.csv"
    more = f"on: {{toy: {{{given}}}, late: {{dataset: toy, {given}}}}}"
    text = text.replace("on: {toy: {backend: given, path: joints.csv}}", more)
    text = text.replace(
        "on: {toy: {}}", "on: {toy: {}, late: {dataset: toy, builds: {joints: late}}}"
    )
    Path("params.yaml").write_text(text)
    with pytest.raises(ReidError, match="run `reid joints late`"):
        make_plan("parts", "late", built)
    engine.run(make_plan("joints", "late", built), built, executor="local")
    engine.run(make_plan("parts", "late", built), built, executor="local")
    rows = [contents(built.derived("parts", name) / "rows") for name in ("toy", "late")]
    assert rows[0] == rows[1], "the same joints give the same bytes, whatever the build is called"
    Path("params.yaml").write_text(text.replace("builds: {joints: late}", "builds: {masks: late}"))
    with pytest.raises(ReidError, match="does not read masks"):
        make_plan("parts", "late", built)


def test_a_build_of_params_yaml_with_these_parameters_is_taken(built: Project):
    text = Path("params.yaml").read_text()
    more = "on: {toy: {}, narrow: {dataset: toy, beta: 0.0625}}"
    Path("params.yaml").write_text(text.replace("on: {toy: {}}", more))
    assert variants.build(built, "parts", "toy", {"beta": 3 / 48}) == "narrow"
    assert variants.build(built, "parts", "toy", {"beta": 2 / 48}) == "toy~beta-0.0416667"
    assert (built.derived("parts", "narrow") / "manifest.json").is_file()


def test_another_build_of_params_yaml_may_be_what_it_differs_from(built: Project):
    text = Path("params.yaml").read_text()
    more = "on: {toy: {}, narrow: {dataset: toy, beta: 0.0625, rows: 1-shards/toy}}"
    Path("params.yaml").write_text(text.replace("on: {toy: {}}", more))
    name = variants.build(built, "parts", "toy", {"seed": 3}, like="narrow", label="third")
    assert name == "narrow~third"
    told = (built.derived("parts", name) / "manifest.json").read_text()
    assert '"beta": 0.0625' in told
    assert '"seed": 3' in told
    same = variants.build(built, "parts", "toy", {"builds": {"joints": "toy"}}, like="narrow")
    assert same == "narrow", "its own joints, said in another way"


@pytest.mark.parametrize(
    ("label", "name"),
    [
        pytest.param({"beta": 0.0625, "seed": 3}, "toy~beta-0.0625~seed-3", id="values"),
        pytest.param({"path": "data/a b.truth"}, "toy~path-data-a-b.truth", id="a path"),
        pytest.param({"path": ""}, "toy~path", id="nothing"),
        pytest.param({"builds": {"joints": "x", "masks": "y"}}, "toy~builds-joints-x+masks-y",
                     id="builds"),
        pytest.param("truth", "toy~truth", id="a label"),
    ],
)  # fmt: skip
def test_names_of_builds_may_be_those_of_files(label, name: str):
    assert variants.name_of("toy", label) == name


def test_long_names_are_cut_and_stay_apart():
    names = {variants.name_of("toy", {"path": "x" * 300 + end}) for end in "ab"}
    assert len(names) == 2
    assert max(map(len, names)) < 140
