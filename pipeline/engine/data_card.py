"""The data card, README.md of a built folder: where its rows come from, and how they were made.

Reads   the manifest and protocol of the folder that is being built, the cards of the folders that
        it was built from (of a folder without steps in its card, its manifest)
Writes  Markdown. Its YAML header names the parts for `datasets.load_dataset`; a comment at its end
        has the source and all steps as JSON, for the cards of what is built from it
"""

from __future__ import annotations

import json
import os
import re
import zlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, NotRequired

from pydantic import TypeAdapter, ValidationError, with_config
from typing_extensions import TypedDict

from pipeline.engine.protocols import ROLES
from reid.project.errors import ReidError
from reid.shards.folder import Shard
from reid.shards.manifest import OPEN, Count, ImageSource, listed_of, manifest_of
from reid.shards.protocol import read_protocols
from reid.shards.remote import text_of

STEPS = re.compile(r"<!-- reid\.steps (.*) -->")
SHOWN = 5  # rules and reasons that are told; of more only the number


Step = dict[str, Any]


@with_config(OPEN)
class KnownSource(TypedDict):
    """An `ImageSource`, or that of an earlier program, which knew of no kinds."""

    title: str
    licence: str
    where: str
    citation: NotRequired[str]


@with_config(OPEN)
class KnownStep(TypedDict):
    """What every step in a card must have."""

    stage: str
    build: str
    rows: Count
    rejects: Count
    source: NotRequired[KnownSource]


@cache
def steps_of_a_card() -> TypeAdapter[list[KnownStep]]:
    """Built when it is first asked for: it takes longer than reading does."""
    return TypeAdapter(list[KnownStep])


def card(
    stage: str,
    build: str,
    described: Mapping[str, Any],
    paths: Sequence[Path],
    rejects: Sequence[tuple[str, str]],
    *,
    inputs: Iterable[Path] = (),
    protocol: Mapping[str, Any] | None = None,
    source: ImageSource | None = None,
) -> bytes:
    """The card of a build: `described` is what its manifest says, `paths` its shards.

    `inputs` are the built folders that it was made from, the data set's rows first; `protocol` is
    its own protocol.json, by default the first input's; `source` that of a data set's images, for
    one that is ingested.
    """
    folders = list(inputs)
    rows = sum(Shard(path).num_rows for path in paths)
    own = _step(stage, build, {**described, "rows": rows, "rejects": len(rejects)})
    if source is not None:
        own["source"] = source
    steps = _joined([*(_steps_of(folder) for folder in folders), [own]])
    rules = protocol if protocol is not None else _protocol_of(folders)
    title = build if stage == "ingest" else f"{stage} of {build}"
    first = (
        f"{rows:,} rows in {len(paths)} shards, {len(rejects)} rejects (see rejects.parquet). "
        f"Columns: {', '.join(described['columns'])}."
    )
    sections = [
        _header(title, paths), f"# {title}\n\n{first}", _source(steps), _counts(rules),
        _rules(rules), _made(steps), _rejects(rejects),
    ]  # fmt: skip
    kept = json.dumps(steps, sort_keys=True).replace("--", "-\\u002d")  # ends no comment
    text = "\n\n".join(section for section in sections if section)
    return f"{text}\n\n<!-- reid.steps {kept} -->\n".encode()


def _header(title: str, paths: Sequence[Path]) -> str:
    """`datasets` keeps what it loaded under the last name of the folder, the configuration and its
    version: only these two tell parts/street from joints/street, and a build from an earlier one.
    """
    lines = ["---", "configs:", f"- config_name: {'-'.join(title.split())}"]
    lines += [f"  version: 0.0.{_mark(paths)}", "  data_files:"]
    for part in sorted({path.name.split("-")[0] for path in paths}):
        split = "whole" if part == "all" else part  # `datasets` keeps `all` for itself
        lines += [f"  - split: {split}", f"    path: rows/{part}-*.parquet"]
    return "\n".join([*lines, "---"])


def _mark(paths: Sequence[Path]) -> int:
    """A number that changes with the shards: the checksum of their footers, lengths and all."""
    checksum = 0
    for path in paths:
        with path.open("rb") as file:
            file.seek(-8, os.SEEK_END)
            length = int.from_bytes(file.read(4), "little")
            file.seek(-8 - length, os.SEEK_END)
            checksum = zlib.crc32(file.read(length), checksum)
    return checksum


# -- steps -----------------------------------------------------------------------------------


def _step(stage: str, build: str, described: Mapping[str, Any]) -> Step:
    """One stage's part in how the rows were made."""
    names = ("dataset", "parameters", "weights", "rows", "rejects", "libraries")
    return {"stage": stage, "build": build, **{n: described[n] for n in names if n in described}}


def _steps_of(folder: Path) -> list[Step]:
    """The steps that made a built folder, the first one first."""
    path = folder / "README.md"
    match = STEPS.search(text_of(path) or "")
    if match is not None:
        try:
            return [{**step} for step in steps_of_a_card().validate_json(match[1])]
        except ValidationError:
            raise ReidError(
                f"{path}: its steps are not as this program writes them; remove the file, and the "
                "manifest is read instead"
            ) from None
    listed = listed_of(folder)
    if listed is None or "stage" not in listed:  # not built by this package
        return []
    described = manifest_of(folder, "dvc repro")
    step = _step(described["stage"], folder.name, described)
    return [{**step, "source": described["source"]} if "source" in described else step]


def _joined(chains: Iterable[list[Step]]) -> list[Step]:
    """All steps once, each behind those before it."""
    steps = {(step["stage"], step["build"]): step for chain in chains for step in chain}
    return list(steps.values())


def _protocol_of(folders: Sequence[Path]) -> Mapping[str, Any]:
    return read_protocols(folders[0]) if folders else {}


# -- sections --------------------------------------------------------------------------------


def _source(steps: Sequence[Step]) -> str:
    source = next((step["source"] for step in steps if "source" in step), None)
    if source is None:
        return ""
    told = f"## Source\n\n{source['title']}. Licence: {source['licence']}.\n\n"
    if source.get("kind") == "rendered":
        return f"{told}- where from: {source['where']}"
    note = f"\n- note: {source['note']}" if source.get("note") else ""
    cited = source.get("citation", "unknown")
    return f"{told}- where to ask: {source['where']}\n- to cite: {cited}{note}"


def _counts(protocol: Mapping[str, Any]) -> str:
    """Images, persons and cameras by role under the default rule, and what was published."""
    built = protocol.get("built", {})
    if not built:
        return ""
    lines = ["| role | images | persons | cameras |", "|---|---|---|---|"]
    lines += [
        f"| {role} | {n['images']:,} | {n['identities']:,} | {n['cameras']:,} |"
        for role, n in ((role, built[role]) for role in ROLES if role in built)
    ]
    rules: Sequence[Mapping[str, Any]] = protocol.get("protocols") or [{}]
    published: Mapping[str, int] = rules[0].get("published", {})
    here = protocol.get("found", {})
    differing = [
        f"{name} {here[name]:,} of {count:,}"
        for name, count in published.items()
        if name in here and here[name] != count
    ]
    told = f"\n\nOther than published: {', '.join(differing)}." if differing else ""
    return "## Counts under the default rule\n\n" + "\n".join(lines) + told


def _rules(protocol: Mapping[str, Any]) -> str:
    rules = protocol.get("protocols", [])
    if not rules:
        return ""
    lines = [
        f"- {rule['name']}: {rule['title']}; "
        + ", ".join(f"{k} {json.dumps(v)}" for k, v in sorted(rule.get("rule", {}).items()))
        for rule in rules[:SHOWN]
    ]
    if len(rules) > SHOWN:
        lines.append(f"- and {len(rules) - SHOWN} more, to {rules[-1]['name']}: see protocol.json")
    return "## Rules of evaluation, the default first\n\n" + "\n".join(lines)


def _made(steps: Sequence[Step]) -> str:
    lines: list[str] = []
    for number, step in enumerate(steps, 1):
        facts = [
            f"{name} {json.dumps(step[name], sort_keys=True)}"
            for name in ("parameters", "weights", "libraries")
            if step.get(name)
        ]
        counts = f"{step['rows']:,} rows, {step['rejects']:,} rejects"
        head = f"{number}. {step['stage']} {step['build']}"
        lines.append("; ".join([f"{head}: {counts}", *facts]))
    return "## Made by\n\n" + "\n".join(lines)


def _rejects(rejects: Sequence[tuple[str, str]]) -> str:
    """The most frequent reasons, each with the first row that it left out."""
    if not rejects:
        return ""
    first = {reason: image_id for image_id, reason in reversed(rejects)}
    common = Counter(reason for _, reason in rejects).most_common(SHOWN)
    lines = [f"- {count:,}: {reason} (first: {first[reason]})" for reason, count in common]
    others = len(first) - len(common)
    more = [f"- and {others} more reasons: see rejects.parquet"] if others else []
    return "## Rejects\n\n" + "\n".join([*lines, *more])
