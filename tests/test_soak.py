"""The campaigns of tests.soak at small size, and what they once found."""

from __future__ import annotations

import contextlib
import json
import os
from pathlib import Path

import pytest

from pipeline import datasets
from reid.project import params
from reid.project.errors import ReidError
from tests.soak import damage, disk, kills, labels_in_files, mutations, settings_in_yaml, trees
from tests.soak.cases import Case, Figures, changes, memory_folder, snapshot, time_limit

CORPUS: dict[str, list[int]] = json.loads(
    (Path(__file__).parent / "soak/corpus.json").read_text("utf-8")
)
SMALL = 15  # seeds of each target


def failures(cases) -> list[str]:
    return [f"{c.target} {c.seed}: {c.steps}: {c.finding}" for c in cases if c.finding]


@pytest.mark.parametrize("target", mutations.TARGETS)
def test_mutated_inputs_give_rows_or_one_line(target: str):
    seeds = [*range(SMALL), *CORPUS.get(target, [])]
    with memory_folder() as base:
        assert failures(mutations.cases(target, seeds, base)) == []


@pytest.mark.parametrize("target", damage.TARGETS)
def test_damaged_shards_are_found_by_verify_and_give_no_other_row(target: str):
    with memory_folder() as base:
        assert failures(damage.cases(target, range(80), base)) == []


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::FutureWarning")
@pytest.mark.parametrize("target", ["ingest", "jet", "train", "publish anew"])
def test_killed_commands_go_on_to_the_same_bytes(target: str):
    number = kills.TARGETS.index(target)
    with memory_folder() as base:
        assert failures(kills.cases(target, range(number, number + 1), base)) == []


@pytest.mark.slow
@pytest.mark.parametrize("target", disk.TARGETS)
def test_commands_go_on_once_there_is_space(target: str):
    with memory_folder() as base:
        cases = list(disk.cases(target, range(2), base))
    if all(case.outcome == "skipped" for case in cases):
        pytest.skip(cases[0].steps[-1])
    assert failures(cases) == []


# --------------------------------------------------------------------------- what was found, mended

LAUGHS = settings_in_yaml.LAUGHS


@pytest.mark.parametrize("reader", ["rap", "mars", "ilids_vid", "dpit", "tvpr", "cuhk03_labeled"])
def test_a_pipe_in_place_of_a_file_of_labels_does_not_hang(tmp_path: Path, reader: str):
    raw = trees.make(tmp_path, reader) / "data/0-raw" / trees.NAME
    labels = [p for p in sorted(raw.rglob("*")) if p.suffix in labels_in_files.BY_ENDING]
    assert labels
    for path in labels:
        data = path.read_bytes()
        path.unlink()
        os.mkfifo(path)
        with time_limit(120), contextlib.suppress(ReidError):  # CUHK03 does without its splits
            datasets.reader(reader).read(raw)
        path.unlink()
        path.write_bytes(data)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("ingest: {on: {true: {}}}", "ingest.on: `True` is bool, not text; put it in quotes"),
        ("ingest: {on: {1: {}}}", "`1` is int, not text"),
        ("ingest: {on: {../x: {}}}", "`../x` cannot be a folder's name"),
        ("ingest: {on: {'': {}}}", "`` cannot be a folder's name"),
        ('ingest: {on: {"a\\nb": {}}}', r"`a\nb` must be printable text"),
        (f"ingest: {{on: {{{'n' * 101}: {{}}}}}}", "at most 100 characters"),
        ("[" * 3000, "more than 100 brackets in each other"),
        ("ingest: 2024-13-45", "not valid YAML"),
        ("run: {executor: [a]}", "run.executor: Input should be a valid string"),
        ('run: {executor: "\\e[31m"}', "run.executor: String should match"),
        ("run: {workers: -1}", "run.workers: Input should be greater"),
    ],
)  # fmt: skip
def test_odd_params_are_refused_in_one_line(tmp_path: Path, text: str, reason: str):
    (tmp_path / "params.yaml").write_text(text)
    with time_limit(120), pytest.raises(ReidError) as error:
        params.load(tmp_path)
    assert reason in str(error.value)
    assert str(error.value).isprintable()


def test_a_billion_laughs_are_shown_in_a_few_words(tmp_path: Path):
    (tmp_path / "params.yaml").write_text(f"{LAUGHS}\ningest: *l11\njet: {{on: {{a: *l11}}}}")
    loaded = params.load(tmp_path)
    for names in (("ingest", "on"), ("jet", "on", "a")):
        with time_limit(120), pytest.raises(ReidError, match="must hold keys") as error:
            params.section(loaded, *names)
        assert len(str(error.value)) < 500


# ------------------------------------------------------------------------- the campaigns themselves


def test_a_seed_makes_the_same_case_twice():
    with memory_folder() as base:
        first, second = [], []
        for steps, name in ((first, "a"), (second, "b")):
            (base / name).mkdir()
            cases = mutations.cases("market1501", range(4), base / name)
            steps += [case.steps for case in cases]
    assert first == second


def test_what_is_written_outside_is_seen(tmp_path: Path):
    (tmp_path / "kept").write_text("1")
    (tmp_path / "output").mkdir()
    before = snapshot(tmp_path, [tmp_path / "output"])
    (tmp_path / "output/new").write_text("2")
    assert changes(before, snapshot(tmp_path, [tmp_path / "output"])) == ""
    (tmp_path / "kept").write_text("2")
    (tmp_path / "stray").write_text("2")
    seen = changes(before, snapshot(tmp_path, [tmp_path / "output"]))
    assert seen.startswith("new: ")
    assert "stray" in seen
    assert "kept" in seen


def test_figures_count_by_target_and_name_the_seeds_of_findings():
    figures = Figures()
    figures.add(Case("rap", 1, outcome="rows"))
    figures.add(Case("rap", 7, ["a flip"], outcome="rows", finding="a traceback"))
    lines = list(figures.lines())
    assert lines[1].split() == ["rap", "2", "1", "0", "0", "1"]
    assert lines[-1] == "rap 7: a flip\n    a traceback"
