"""Which printed row an experiment is: its own data set, its own rule, every parameter."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, get_args

import pytest

from pipeline.stages import stage
from reid.experiments import Experiment, params_model
from reid.experiments import load as load_experiment
from reid.papers import PAPERS, paper_of
from reid.papers.contract import Paper
from reid.papers.table import Row
from reid.project.errors import ReidError
from reid.project.layout import Project
from reid.project.params import check, load, stage_params
from reid.results.printed_row import Beside, EvaluatedOn, matching, printed_row

ROWS = [
    pytest.param(name, number, row, dataset, id=f"{name}-{number}-{row.name}-{dataset}")
    for name in PAPERS
    for number, table in paper_of(name).tables.items()
    for row in table.rows
    if row.overrides is not None
    for dataset in row.printed
]
ANYTHING = (True, False, 0, 1, 2, 3, 0.25, 0.75, 64, "resnet18", [1, 1], [1, 1, 1], [8, 8, 8, 8])


def experiment(paper: str, values: dict[str, Any]) -> Experiment:
    return Experiment("mine", paper_of(paper), params_model(paper)(dataset="mine", **values))


def built(paper: str, stages: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """The parameters of builds as the paper has them, but for those given."""
    usual = paper_of(paper).built
    return {stage: {**usual.get(stage, {}), **stages.get(stage, {})} for stage in usual}


def printed(paper: str, values: dict[str, Any], on: EvaluatedOn, **stages: Any) -> Beside:
    """What stands beside an experiment."""
    return printed_row(experiment(paper, values), on, built(paper, stages))


def own(paper: Paper[Any, Any], row: Row, dataset: str) -> tuple[EvaluatedOn, dict[str, str]]:
    """The data set that a row's numbers are of, and the rule of an experiment on it."""
    made_by = "" if row.of_source else paper.made_by.get(dataset, "")
    rule = paper.protocols.get(dataset, "").replace("?", "1")
    return EvaluatedOn(dataset, made_by, first_rule="first"), {"protocol": rule}


def literals(annotation: Any) -> Iterator[Any]:
    for argument in get_args(annotation):
        if isinstance(argument, str):
            yield argument
        yield from literals(argument)


def changed(paper: Paper[Any, Any], values: dict[str, Any], name: str) -> Iterator[Any]:
    """Every other value of a parameter, of those tried, that its paper allows."""
    was = getattr(check(paper.params, values, "row"), name)
    for value in (*literals(paper.params.model_fields[name].annotation), *ANYTHING):
        try:
            other = getattr(check(paper.params, {**values, name: value}, "row"), name)
        except ReidError:
            continue
        if other != was and other != "":
            yield value


@pytest.mark.parametrize("world", [False, True])
@pytest.mark.parametrize(("name", "number", "row", "dataset"), ROWS)
def test_a_number_is_of_its_row_and_of_no_experiment_that_differs_by_a_parameter(
    name: str, number: int | str, row: Row, dataset: str, world: bool
):
    paper = paper_of(name)
    on, rule = own(paper, row, dataset)
    if world:
        on = EvaluatedOn(on.reader, on.made_by, True)
    values = {**row.parameters(dataset), **rule}
    beside = printed(name, values, on, **row.stages)
    assert f"{number}: {row.name}" in beside.rows
    for metric in row.printed[dataset]:
        assert metric in beside.numbers[dataset]
    free = (paper.left_open | paper.scale) if world else paper.left_open
    tried = 0
    for parameter in paper.params.model_fields.keys() - free:
        for value in changed(paper, row.parameters(dataset), parameter):
            tried += 1
            other = experiment(name, {**values, parameter: value})
            assert dataset not in matching(row, other, on, built(name, row.stages))
            others = printed(name, {**values, parameter: value}, on, **row.stages)
            for told in others.rows:
                table, row_name = told.split(": ", 1)
                tables = {str(n): t for n, t in paper.tables.items()}
                readers = others.numbers if world else [dataset]
                are = [tables[table].row(row_name).parameters(reader) for reader in readers]
                wanted = getattr(check(paper.params, {parameter: value}, "row"), parameter)
                assert any(getattr(check(paper.params, a, "row"), parameter) == wanted for a in are)
    assert tried > len(paper.params.model_fields.keys() - free)


@pytest.mark.parametrize("name", PAPERS)
def test_what_may_differ_is_named_by_parameters_that_no_row_names(name: str):
    paper = paper_of(name)
    named = {key for t in paper.tables.values() for r in t.rows for key in r.overrides or ()}
    stages = {f"{stage}.{key}" for stage, values in paper.built.items() for key in values}
    assert not (paper.left_open | paper.scale) & named
    assert paper.left_open <= {*paper.params.model_fields}
    assert paper.scale <= {*paper.params.model_fields} | stages
    for table in paper.tables.values():
        for row in table.rows:
            for stage_name, values in row.stages.items():
                assert values.keys() <= paper.built[stage_name].keys(), row.name


MARKET, DUKE, MARS = EvaluatedOn("market1501"), EvaluatedOn("dukemtmc_reid"), EvaluatedOn("mars")
VIDEO, ILIDS = EvaluatedOn("dukemtmc_video"), EvaluatedOn("ilids_vid", first_rule="split-01")
DETECTED = EvaluatedOn("cuhk03_detected", first_rule="new")
STREET, MALL = EvaluatedOn("market1501", world=True), EvaluatedOn("rap", world=True)
RAP = EvaluatedOn("rap")
PART, MUTUAL = "attention_driven", "mutual_attention"
IMPLICIT, MAT, SIAMESE = "implicit_attention", "multimodal_attention", "attentive_convlstm"
FULL = {"sequence_length": 16}
CLASSIC = {"protocol": "classic-01"}


@pytest.mark.parametrize(
    ("paper", "values", "on", "numbers"),
    [
        pytest.param(MUTUAL, FULL, MARS, {"mars": (80.0, 86.6)}, id="MARS"),
        pytest.param(MUTUAL, FULL, ILIDS, {"ilids_vid": (86.2, 96.4)}, id="iLIDS, not MARS"),
        pytest.param(MUTUAL, FULL, VIDEO, {"dukemtmc_video": (94.9, 95.6)}, id="Duke, not MARS"),
        pytest.param(MUTUAL, {**FULL, "protocol": "split-07"}, ILIDS,
                     {"ilids_vid": (86.2, 96.4)}, id="one of the splits"),
        pytest.param(MUTUAL, {**FULL, "protocol": "split-07-swapped"}, ILIDS, {}, id="swapped"),
        pytest.param(MUTUAL, {**FULL, "protocol": "mars-official"}, MARS, {}, id="another rule"),
        pytest.param(MUTUAL, {**FULL, "val_identities": 50}, MARS, {}, id="fewer persons"),
        pytest.param(MUTUAL, {**FULL, "flow_maximum_px": 3}, MARS,
                     {"mars": (80.0, 86.6)}, id="what is left open"),
        pytest.param(MUTUAL, {**FULL, "flow_maximum_px": None}, MARS,
                     {"mars": (80.0, 86.6)}, id="what is measured"),
        pytest.param(MUTUAL, {**FULL, "weights": "mine.pth"}, MARS,
                     {"mars": (80.0, 86.6)}, id="weights from a file"),
        pytest.param(MUTUAL, {**FULL, "weights": ""}, MARS, {}, id="from scratch"),
        pytest.param(MUTUAL, {**FULL, "epochs": 10}, MARS, {}, id="a short training"),
        pytest.param(PART, {"model": "aligned", "fusion": "fc"}, MARKET,
                     {"market1501": (90.94, 96.58, 97.89, 98.93, 77.11)}, id="FC fusion"),
        pytest.param(PART, {"decomposition": False}, MARKET,
                     {"market1501": (93.26, 97.92, 98.90, 99.17, 82.47)}, id="table 8"),
        pytest.param(PART, {"loss_weight": 0}, DUKE,
                     {"dukemtmc_reid": (72.17, 54.35)}, id="lambda 0"),
        pytest.param(PART, {"loss_weight": 1.0}, MARKET,
                     {"market1501": (93.97, 84.02)}, id="lambda 1"),
        pytest.param(PART, {"test_feature": "head"}, MARKET,
                     {"market1501": (50.86, 73.31, 81.00, 26.76)}, id="one branch"),
        pytest.param(PART, {"mask": "plain"}, MARKET, {}, id="a variant in words"),
        pytest.param(PART, {}, MARKET,
                     {"market1501": (94.65, 85.22, 98.21, 98.96, 99.38)}, id="all its tables"),
        pytest.param(PART, {}, DETECTED, {}, id="CUHK03's new rule"),
        pytest.param(PART, CLASSIC, DETECTED, {"cuhk03_detected": (93.45,)}, id="CUHK03"),
        pytest.param(PART, {"protocol": "classic-02"}, DETECTED, {}, id="its second split"),
        pytest.param(PART, {}, EvaluatedOn("folder"), {}, id="one's own images"),
        pytest.param(PART, {}, EvaluatedOn("market1501", "crops"), {}, id="crops of Market's"),
        pytest.param(PART, {"epochs": 3}, MARKET, {}, id="a short training"),
        pytest.param(PART, {"loss_weight": 0.1, "epochs": 3}, STREET, {
            "market1501": (94.98, 86.45), "dukemtmc_reid": (85.90, 74.10),
            "cuhk03_labeled": (94.99,), "cuhk03_detected": (93.51,),
        }, id="a world"),
        pytest.param(SIAMESE, {}, ILIDS,
                     {"ilids_vid": (63.3, 87.4, 94, 97.8)}, id="siamese"),
        pytest.param(IMPLICIT, {"swap_probability": 0, "configuration": "softmax"},
                     RAP, {"rap": (44.6, 66.5, 74.6, 30.4)}, id="no backgrounds read"),
        pytest.param(MAT, {"model": "rgb_d_cnn", "pool": "max"}, EvaluatedOn("tvpr"),
                     {"tvpr": (63.83, 89.36, 93.62, 97.87)}, id="full frames"),
        pytest.param(MAT, {"model": "rgb_d_cnn", "pool": "max"}, EvaluatedOn("tvpr", "crops"),
                     {"tvpr": (80.85, 92.55, 92.55, 95.74)}, id="crops"),
        pytest.param(MAT, {}, EvaluatedOn("tvpr", "crops"), {}, id="TVPR by the mean"),
        pytest.param(MAT, {}, EvaluatedOn("dpit"),
                     {"dpit": (92.37, 99.60, 100, 100)}, id="all ranks of figure 3"),
    ],
)  # fmt: skip
def test_the_printed_numbers(paper: str, values, on: EvaluatedOn, numbers):
    found = printed(paper, values, on).numbers
    assert {dataset: tuple(ranks.values()) for dataset, ranks in found.items()} == numbers


@pytest.mark.parametrize(
    ("paper", "values", "stages", "rows"),
    [
        pytest.param(IMPLICIT, {"swap_probability": 0.5}, {"region": "upper_body"},
                     ("1: Upper body, triplet", "figure-3: upper body, p = 0.5"), id="upper body"),
        pytest.param(IMPLICIT, {"swap_probability": 0.5}, {"region": "given"}, (), id="given"),
        pytest.param(IMPLICIT, {}, {"region": "full_body", "side": 64},
                     ("1: Full body, triplet", "figure-3: full body, p = 0.3"), id="another size"),
        pytest.param(IMPLICIT, {}, {"iou": 0.7}, (), id="another search"),
    ],
)  # fmt: skip
def test_a_build_is_known_by_its_parameters(paper: str, values, stages, rows: tuple[str, ...]):
    assert printed(paper, values, MALL, backgrounds=stages).rows == tuple(
        row for row in rows if "p = 0.5" not in row or values
    )


def test_the_tuned_row_is_lambda_0_2_on_cuhk03():
    tuned = {"parts": {"beta": 0.0625}}
    for value, on, numbers in (
        (0.2, DETECTED, {"r1": 93.58, "r5": 98.91, "r10": 99.42}),
        (0.1, DETECTED, {}),
        (0.1, DUKE, {"r1": 86.04, "mAP": 74.57}),
        (0.2, DUKE, {}),
    ):
        given = {"loss_weight": value, **(CLASSIC if on is DETECTED else {})}
        assert printed(PART, given, on, **tuned).numbers.get(on.reader, {}) == numbers


def test_the_demos_experiments_are_printed_rows():
    """By params.yaml: what they set apart from the paper is size and schedule."""
    project = Project(Path(__file__).parents[3])
    loaded, readers = load(project.root), {"crops/topview": "tvpr", "topview": "tvpr"}
    rows = {}
    for paper in PAPERS:
        for name in loaded[paper]["on"]:
            mine = load_experiment(project, name)
            of, own = mine.params, mine.params.dataset
            stages = [*mine.stages, *mine.paper.training_stages(of)]
            builds = {
                name: stage_params(loaded, name, of.builds.get(name, own), stage(name).params)
                for name in stages
            }
            reader = readers.get(own) or loaded["ingest"]["on"][own]["reader"]
            on = EvaluatedOn(reader, own.rpartition("/")[0], world=True)
            told = {name: build.model_dump() for name, build in builds.items()}
            rows[name] = printed_row(mine, on, told).rows
    assert all(rows.values()), rows
    assert "6: Intra+inter" in rows["street-intra-inter"]
    assert "2: MAT, crops" in rows["topview-mat"]
    assert rows["hall-mutual"] == (
        "3: MA, weighted addition, 4 frames", "models: MA, weighted addition, 4 frames"
    )  # fmt: skip
