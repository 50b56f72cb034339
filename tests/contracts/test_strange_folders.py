"""Built folders that a stranger hands over: whatever their files hold is a value or one line."""

import json
import os
import random
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import reid
from pipeline.builds.status import status
from pipeline.commands.build import make_plan
from pipeline.engine import run as engine
from pipeline.engine.data_card import card
from reid.evaluation.protocol import protocol_of
from reid.project.errors import ReidError
from reid.project.layout import Project, sha256_of
from reid.shards.folder import Shards
from reid.shards.manifest import read_manifest
from reid.shards.protocol import protocols_of
from reid.shards.verify import verify
from tests.conftest import make_project
from tests.pipeline.backends.test_array_pickle import mutated

Change = Callable[[Any], Any]
HUGE = "9" * 5000
DEEP = "[" * 100_000 + "]" * 100_000


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Project:
    project = make_project(tmp_path_factory.mktemp("built"), persons=4)
    engine.run(make_plan("ingest", "toy", project), project, executor="local")
    return project


@pytest.fixture
def folder(built: Project, tmp_path: Path) -> Path:
    """A copy of the data set's folder below data/1-shards."""
    copy = tmp_path / "data/1-shards/toy"
    shutil.copytree(built.shards("toy"), copy)
    shutil.copy(built.root / "params.yaml", tmp_path)
    return copy


def changed(path: Path, change: Change) -> None:
    """Write a JSON file again as `change` makes it: text, bytes, or what it did to the value."""
    value = json.loads(path.read_text())
    made = change(value)
    made = value if made is None else made
    made = made if isinstance(made, str | bytes) else json.dumps(made)
    path.write_bytes(made.encode() if isinstance(made, str) else made)


def entry(**values: Any) -> Change:
    return lambda manifest: manifest["shards"][0].update(values)


def without(*keys: Any) -> Change:
    """Take out what is at the end of the keys."""

    def change(value: Any) -> None:
        for key in keys[:-1]:
            value = value[key]
        del value[keys[-1]]

    return change


NO_TABLES = [
    pytest.param(lambda _: "[]", "`the whole`: .* not \\[\\]", id="a list"),
    pytest.param(lambda _: "null", "`the whole`", id="null"),
    pytest.param(lambda _: "", "not JSON", id="empty"),
    pytest.param(lambda _: "{", "not JSON", id="cut"),
    pytest.param(lambda _: b'{"a": "\xff"}', "not UTF-8 text at byte 7", id="not UTF-8"),
    pytest.param(lambda _: DEEP, "not JSON: recursion limit", id="deep"),
    pytest.param(lambda _: HUGE, "not JSON|`the whole`", id="one number of 5,000 digits"),
]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        *NO_TABLES,
        pytest.param(without("shards"), "no `shards`", id="no shards"),
        pytest.param(lambda m: m.update(shards={}), "`shards`: .*array", id="shards as a table"),
        pytest.param(lambda m: m.update(shards=["a"]), "`shards.0`", id="shards as names"),
        pytest.param(without("shards", 0, "sha256"), "no `shards.0.sha256`", id="no sha256"),
        pytest.param(entry(sha256="abc"), "`shards.0.sha256`", id="a short sha256"),
        pytest.param(entry(rows=-1), "`shards.0.rows`: .* not -1", id="negative rows"),
        pytest.param(entry(bytes=-5), "`shards.0.bytes`: .* not -5", id="a negative size"),
        pytest.param(entry(bytes="many"), "`shards.0.bytes`", id="a size in words"),
        pytest.param(entry(name="../../x.parquet"), "`shards.0.name`", id="a name that climbs"),
        pytest.param(entry(name="\x1b[2J.parquet"), "`shards.0.name`", id="a name that clears"),
        pytest.param(entry(name=7), "`shards.0.name`", id="a name that is a number"),
    ],
)
def test_a_manifest_of_another_shape_is_one_line(folder: Path, change: Change, says: str):
    changed(folder / "manifest.json", change)
    with pytest.raises(ReidError, match=f"^{folder}/manifest.json: {says}") as refused:
        reid.open(folder.parents[1], "toy")
    assert "\n" not in str(refused.value)
    assert len(str(refused.value)) < 600
    assert str(refused.value).endswith("reid ingest toy --repair`") or "UTF-8" in says
    (problem,) = verify(folder)
    assert problem.file == "manifest.json"
    project = Project(folder.parents[2])
    assert status(project, make_plan)[0]["state"].startswith("damaged: ")


@pytest.mark.parametrize("key", ["stage", "dataset", "columns", "parameters", "rows", "rejects"])
def test_a_built_folder_says_what_it_is(folder: Path, key: str):
    changed(folder / "manifest.json", without(key))
    with pytest.raises(ReidError, match=f"manifest.json: no `{key}`; run `reid ingest toy"):
        read_manifest(folder)
    assert len(Shards(folder)) == 36


def test_a_manifest_of_a_newer_schema_is_one_line(folder: Path):
    changed(folder / "manifest.json", lambda told: told.update(schema_version=99, shards="other"))
    with pytest.raises(ReidError) as refused:
        reid.open(folder.parents[1], "toy")
    assert str(refused.value) == (
        f"{folder}/manifest.json: schema version 99, this program reads up to 1; "
        "install a newer reid-pipeline"
    )


def test_what_a_newer_program_says_too_is_let_through(folder: Path):
    def change(manifest: Any) -> None:
        manifest.update(code="abc", texts={"a": "b"}, protocols="c")
        manifest["shards"][0]["adopted"] = {"from": "abc"}

    changed(folder / "manifest.json", change)
    manifest = read_manifest(folder)
    assert manifest is not None
    assert manifest["shards"][0]["adopted"] == {"from": "abc"}  # type: ignore[typeddict-item]
    assert len(reid.open(folder.parents[1], "toy")) == 36


CARD = "# toy\n\n<!-- reid.steps {} -->\n"


@pytest.mark.parametrize(
    "told",
    [
        pytest.param("{}", id="a table"),
        pytest.param("[1]", id="numbers"),
        pytest.param("[{", id="cut"),
        pytest.param('[{"stage": "ingest"}]', id="no build"),
        pytest.param(DEEP, id="deep"),
        pytest.param(
            '[{"stage": "a", "build": "b", "rows": 1, "rejects": 0, "source": {"title": "t"}}]',
            id="a source without its licence",
        ),
    ],
)
def test_a_card_whose_steps_are_of_another_shape_is_one_line(folder: Path, told: str):
    (folder / "README.md").write_text(CARD.format(told))
    paths = sorted((folder / "rows").iterdir())
    with pytest.raises(ReidError, match=f"^{folder}/README.md: its steps are not as"):
        card("parts", "toy", {"columns": []}, paths, [], inputs=[folder])


def test_no_mutated_manifest_or_protocol_is_a_traceback(folder: Path):
    assert fuzz(folder, 150, seed=0) > 50


def fuzz(folder: Path, files: int, seed: int) -> int:
    """How many of the mutated files were refused; anything but a `ReidError` is raised."""
    drawn, refused = random.Random(seed), 0
    written = {name: (folder / name).read_bytes() for name in ("manifest.json", "protocol.json")}
    for _ in range(files):
        name = drawn.choice([*written])
        (folder / name).write_bytes(mutated(written[name], drawn))
        try:
            data = reid.open(folder.parents[1], "toy")
            data.role("train")
            protocol_of(data.protocol_in_force())
        except ReidError as error:
            assert_one_line(error)
            refused += 1
        (folder / name).write_bytes(written[name])
    return refused


def assert_one_line(error: ReidError) -> None:
    assert "\n" not in str(error)
    assert len(str(error)) < 600


def rule(**values: Any) -> Change:
    return lambda told: told["protocols"][0].update(values)


PERSONS = {"persons": [1, 2]}


@pytest.mark.parametrize(
    ("change", "says"),
    [
        *NO_TABLES,
        pytest.param(without("protocols"), "no `protocols`", id="no protocols"),
        pytest.param(lambda t: t.update(protocols={}), "`protocols`", id="protocols as a table"),
        pytest.param(lambda t: t.update(protocols=["a"]), "`protocols.0`", id="rules as names"),
        pytest.param(without("protocols", 0, "name"), "no `protocols.0.name`", id="no name"),
        pytest.param(rule(published={"a": "b"}), "`protocols.0.published.a`", id="counts in words"),
        pytest.param(lambda t: t.update(protocols=[]), "`protocols`: .* at least 1", id="no rules"),
        pytest.param(rule(rule={"exclude": "z"}), "`protocols.0.rule.exclude`.*'z'", id="exclude"),
        pytest.param(rule(title="drawn anew"), "its rules were edited", id="edited"),
        pytest.param(rule(rule={"junk": "no"}), "`protocols.0.rule.junk`", id="junk in words"),
        pytest.param(rule(rule={"views": -2}), "`protocols.0.rule.views`", id="negative views"),
        pytest.param(rule(members="rows"), "`protocols.0.members", id="members of another name"),
        pytest.param(rule(members=[1]), "`protocols.0.members", id="members as a list"),
        pytest.param(
            rule(members={"train": {"hats": [1]}, "test": PERSONS}), "`protocols.0.members.*hats",
            id="members by an unknown column",
        ),
        pytest.param(
            rule(members={"train": {"persons": [2**31]}, "test": PERSONS}),
            "`protocols.0.members.*not 2147483648", id="members that are huge",
        ),
        pytest.param(
            rule(members={"train": {"cameras": [40_000]}, "test": PERSONS}),
            "`protocols.0.members.*not 40000", id="cameras that are huge",
        ),
        pytest.param(
            rule(members={"train": PERSONS, "query": PERSONS}),
            "`protocols.0.members.*no labels of gallery", id="a role without members",
        ),
        pytest.param(lambda t: t.update(built={"train": 3}), "`built.train`", id="counts of roles"),
    ],
)  # fmt: skip
def test_a_protocol_of_another_shape_is_one_line(folder: Path, change: Change, says: str):
    changed(folder / "protocol.json", change)
    for read in (lambda: reid.open(folder.parents[1], "toy"), lambda: protocols_of(folder)):
        with pytest.raises(ReidError, match=f"^{folder}/protocol.json: {says}") as refused:
            read()
        assert "\n" not in str(refused.value)
        assert len(str(refused.value)) < 600


def rewrite(path: Path, change: Callable[[pa.Table], pa.Table]) -> None:
    """Write a shard again, changed, and its hash into the manifest."""
    table = change(pq.read_table(path))
    pq.write_table(table, path, compression="NONE", use_dictionary=False, write_statistics=False)
    sealed(path)


def sealed(path: Path) -> None:
    def change(manifest: Any) -> None:
        for shard in manifest["shards"]:
            if shard["name"] == path.name:
                shard.update(sha256=sha256_of(path), bytes=path.stat().st_size)

    changed(path.parent.parent / "manifest.json", change)


def first(folder: Path) -> Path:
    return min((folder / "rows").iterdir())


def with_version(text: str) -> Callable[[pa.Table], pa.Table]:
    def change(table: pa.Table) -> pa.Table:
        metadata = {**(table.schema.metadata or {}), b"reid.schema_version": text.encode()}
        return table.replace_schema_metadata(metadata)

    return change


def cast(name: str, kind: pa.DataType) -> Callable[[pa.Table], pa.Table]:
    def change(table: pa.Table) -> pa.Table:
        at = table.column_names.index(name)
        return table.set_column(at, name, table[name].cast(kind))

    return change


@pytest.mark.parametrize(
    ("change", "says"),
    [
        pytest.param(with_version(HUGE), "schema version '99999999999999999999...'", id="digits"),
        pytest.param(with_version("-1"), "schema version '-1'", id="a negative version"),
        pytest.param(with_version("٣"), "schema version", id="digits of another script"),
        pytest.param(with_version("99"), "schema version 99, this program reads", id="newer"),
        pytest.param(
            cast("person", pa.string()), "`person` is string, there int32", id="another type"
        ),
        pytest.param(
            lambda t: t.append_column("hat", pa.nulls(len(t), pa.int8())),
            "`hat` is int8, there absent", id="a column more",
        ),
    ],
)  # fmt: skip
def test_a_shard_unlike_the_others_is_one_line(folder: Path, change, says: str):
    path = max((folder / "rows").iterdir())
    rewrite(path, change)
    with pytest.raises(ReidError, match=f"^{path}: .*{re.escape(says)}") as refused:
        reid.open(folder.parents[1], "toy")
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        pytest.param(cast("person", pa.string()), "`person` is string, not int32", id="type"),
        pytest.param(lambda t: t.drop_columns(["query"]), "no column `query`", id="absent"),
    ],
)
def test_columns_of_another_type_are_one_line(folder: Path, change, says: str):
    for path in (folder / "rows").iterdir():
        rewrite(path, change)
    with pytest.raises(ReidError, match=f"^{folder}: .*{says}"):
        reid.open(folder.parents[1], "toy")


def test_negative_sizes_of_images_are_one_line(folder: Path):
    def change(table: pa.Table) -> pa.Table:
        at = table.column_names.index("image_size")
        sizes = pa.array([-9, *table["image_size"].to_pylist()[1:]], pa.int32())
        return table.set_column(at, table.schema.field(at), sizes)

    path = first(folder)
    rewrite(path, change)
    opened = reid.open(folder.parents[1], "toy")
    with pytest.raises(ReidError, match=f"^{path}: damaged: `image_size` has negative sizes"):
        opened.values("image", [0])


@pytest.mark.parametrize("name", ["rows/a.parquet", "manifest.json", "protocol.json"])
def test_a_pipe_is_refused_and_not_waited_for(folder: Path, name: str):
    path = folder / name
    path.unlink(missing_ok=True)
    os.mkfifo(path)
    with pytest.raises(ReidError, match=f"^{path}: is a pipe, a socket or a device, not a file"):
        reid.open(folder.parents[1], "toy")
    assert [problem.file for problem in verify(folder)] == [path.name]
