"""params.yaml to typed parameters, and errors that say where and what is allowed."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from reid.project.errors import ReidError
from reid.project.params import (
    StageParams,
    Strict,
    check,
    dataset_of,
    ingested,
    load,
    section,
    stage_params,
)


class Inner(Strict):
    radius: int = 3


class Jet(StageParams):
    near_mm: int = 500
    far_mm: int = 4500
    inner: Inner = Inner()


FILE = """\
jet:
  on:
    market: {far_mm: 4000}
    mall:
  with: {near_mm: 600, far_mm: 5000}
train:
  rate: 3e-4
  on: yes
"""


@pytest.fixture
def loaded(tmp_path):
    (tmp_path / "params.yaml").write_text(FILE)
    return load(tmp_path)


def test_yaml_1_2(loaded):
    assert loaded["train"]["rate"] == pytest.approx(3e-4)
    assert loaded["train"]["on"] == "yes"


def test_with_is_overlaid_by_on(loaded):
    market = stage_params(loaded, "jet", "market", Jet)
    assert (market.near_mm, market.far_mm, market.max_reject_rate) == (600, 4000, 0.05)
    assert stage_params(loaded, "jet", "mall", Jet).far_mm == 5000


def test_parameters_do_not_change(loaded):
    with pytest.raises(ValidationError):
        stage_params(loaded, "jet", "mall", Jet).far_mm = 1


def test_unknown_data_set_is_answered_with_the_nearest(loaded):
    with pytest.raises(
        ReidError, match=r"jet.on has no `markt`; did you mean `market`\? \(it has mall, market\)"
    ):
        stage_params(loaded, "jet", "markt", Jet)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        pytest.param(
            {"fra_mm": 1},
            "params.yaml: jet has no `fra_mm`; did you mean `far_mm`? "
            "(it has far_mm, inner, max_reject_rate, near_mm)",
            id="unknown key",
        ),
        pytest.param(
            {"inner": {"radios": 1}},
            "params.yaml: jet.inner has no `radios`; did you mean `radius`? (it has radius)",
            id="nested unknown key",
        ),
        pytest.param({"near_mm": "close"}, "params.yaml: jet.near_mm: Input should be", id="type"),
        pytest.param({"inner": {"radius": []}}, "params.yaml: jet.inner.radius: ", id="list"),
    ],
)  # fmt: skip
def test_errors_name_the_place(values, message):
    with pytest.raises(ReidError) as raised:
        check(Jet, values, "jet")
    assert str(raised.value).startswith(message)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param("a: [1", "not valid YAML", id="broken"),
        pytest.param("- 1", "must hold sections", id="list"),
        pytest.param("", "must hold sections", id="empty"),
    ],
)
def test_unreadable_files(tmp_path, text, message):
    (tmp_path / "params.yaml").write_text(text)
    with pytest.raises(ReidError, match=message):
        load(tmp_path)


def test_no_file(tmp_path):
    with pytest.raises(ReidError, match="no such file; run in the project's root, or pass --root"):
        load(tmp_path)


def test_sections(loaded):
    assert section(loaded, "nothing", "here") == {}
    assert section(loaded, "jet", "on", "mall") == {}
    with pytest.raises(ReidError, match=r"`train.rate` must hold keys, not 0.0003"):
        section(loaded, "train", "rate", "x")


def test_what_a_data_set_is_made_from():
    """A build without one is of the data set it is called after; a ring is one clear error."""
    builds = {
        "plain": None, "empty": {"dataset": ""}, "other": {"dataset": "mall"},
        "twice": {"dataset": "crops/other"}, "a": {"dataset": "crops/b"},
        "b": {"dataset": "crops/a"}, "own": {"dataset": "crops/own"}, "three": {"dataset": 3},
    }  # fmt: skip
    loaded = {"crops": {"on": builds}, "jet": {"with": {"dataset": "crops/other"}, "on": {"x": {}}}}
    made = [dataset_of(loaded, "crops", name) for name in ("plain", "empty", "other", "absent")]
    assert made == ["plain", "empty", "mall", "absent"]
    assert dataset_of(loaded, "jet", "x") == "crops/other"
    assert ingested(loaded, "mall") == ingested(loaded, "crops/twice") == "mall"
    with pytest.raises(ReidError, match=r"crops/a from crops/b from crops/a: a data set made from"):
        ingested(loaded, "crops/a")
    with pytest.raises(ReidError, match=r"crops/own from crops/own: a data set made from itself"):
        ingested(loaded, "crops/own")
    with pytest.raises(ReidError, match=r"crops\.on\.three\.dataset: 3 is not text"):
        ingested(loaded, "crops/three")
