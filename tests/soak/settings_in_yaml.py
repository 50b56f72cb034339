"""Mutations of params.yaml: wrong types, unknown keys, huge numbers, tags, bombs, odd names."""

from __future__ import annotations

from pathlib import Path
from random import Random

VALUES = (
    "-1", "0", "1", "2.5", "1e9", "1e400", ".inf", "-.inf", ".nan", "99999999999999999999999",
    "true", "null", "''", "'x'", "[]", "{}", "[1, 2]", "{a: 1}", "2024-01-01", "0o17", "0x10",
    "!!python/object/apply:os.system ['touch canary']", "!!python/name:os.system",
    "!!binary aGVsbG8=", "!!set {a, b}", "!!timestamp 2024-01-01",
    "!!float 3", "!evil x",
    "&a [*a]", "*nowhere", "'../../outside'", "'/etc/passwd'", "'a\\0b'", '"a\\0b"', '"\\e[31m"',
    "1_000", "12:30:45", "~", "\u4eba", "'" + "x" * 10_000 + "'",
)  # fmt: skip
NAMES = (
    "'../outside'", "'../../outside'", "'../../../outside'", "'/tmp/outside'", "'.'", "'..'", "''",
    "' '", "'a/b'", "'a b'", '"a\\0b"', '"a\\nb"', "'<script>'", "'[bold]'", "1", "true", "null",
    "1.5", "2024-01-01", "'-x'", "'" + "n" * 300 + "'", "'\u4eba'", "'toy/../toy'", "'toy/'",
    "[a, b]", "'toy '",
)  # fmt: skip
LAUGHS = "\n".join(
    ["l0: &l0 [lol]", *(f"l{i}: &l{i} [{', '.join([f'*l{i - 1}'] * 9)}]" for i in range(1, 12))]
)
DOCUMENTS = (
    "", "\n", "ingest", "- a", "[]", "ingest: [", "ingest: {on: {toy: }", "\t- x",
    "%YAML 9.9\n---\na",
    "a: 1\n---\nb: 2\n", "ingest: {on: {toy: {reader: market1501}}}\ningest: {}", LAUGHS,
    "[" * 3000, "{a: " * 3000, "&a {ingest: *a}", "ingest: &a {on: {toy: *a}}", "\0", "\ufeff{}",
    LAUGHS + "\ningest: *l11", LAUGHS + "\ningest: {on: {toy: {reader: *l11}}}",
    LAUGHS + "\ningest: {on: *l11}", LAUGHS + "\ningest: {on: {toy: {reader: {a: *l11}}}}",
    "ingest: !!python/object/apply:os.system ['touch canary']\n", "? [a]\n: b\n",
    "ingest:\n  on:\n",
)  # fmt: skip


def change(random: Random, path: Path) -> tuple[str, str]:
    """Mutate params.yaml; in words, what was done, and the name to ingest as YAML has it."""
    text = path.read_text("utf-8", "surrogateescape")
    kind = random.choice(("value", "value", "key", "name", "document", "bytes"))

    def write(changed: str) -> None:
        path.write_text(changed, "utf-8", "surrogateescape")

    if kind == "document":
        document = random.choice(DOCUMENTS)
        write(document if random.random() < 0.6 else text + document)
        return f"document {document[:60]!r}", "toy"
    if kind == "bytes":
        data = bytearray(path.read_bytes() or b"\0")
        for _ in range(random.choice((1, 3, 10))):
            data[random.randrange(len(data))] = random.randrange(256)
        path.write_bytes(data)
        return f"bytes {bytes(data)!r}", "toy"
    if kind == "name":
        name = random.choice(NAMES)
        write(text.replace("{toy:", f"{{? {name} :"))
        return f"name {name[:60]}", name
    value = random.choice(VALUES)
    if kind == "key":
        key = random.choice(("shard_row", "on", "with", "'<script>'", "1", "? [a]", "<<", "reader"))
        write(text.replace("shard_rows:", f"{key}: {value}, shard_rows:"))
        return f"key {key}: {value[:60]}", "toy"
    old = random.choice(("6", "1.0", "local", "workers: 1", "{reader: ", "market1501"))
    new = {"workers: 1": f"workers: {value}", "{reader: ": f"{{shard_megabytes: {value}, reader: "}
    write(text.replace(old, new.get(old, value), 1))
    return f"value {old} is {value[:60]}", "toy"
