"""New entries of params.yaml, or fewer; comments, order and all else stay as they are.

What came out is looked at before it is written: an odd layout is refused, to be edited by hand.
"""

from __future__ import annotations

import copy
import io
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.error import CommentMark, YAMLError
from ruamel.yaml.tokens import CommentToken
from ruamel.yaml.util import load_yaml_guess_indent

from reid.project.errors import ReidError


class Entry(NamedTuple):
    """`<section>.<group>.<key>` of params.yaml."""

    section: str
    key: str
    values: dict[str, Any]
    group: str = "on"
    comments: Mapping[str, str] = {}  # beside its values, by their keys

    def __str__(self) -> str:
        return f"{self.section}.{self.group}.{self.key}"


def with_entries(path: Path, loaded: dict[str, Any], entries: list[Entry]) -> str:
    """The text of the parameters file with `entries` added, its comments and order kept."""
    text = path.read_text("utf-8")
    _, indent, offset = load_yaml_guess_indent(text)
    yaml = YAML()
    yaml.width, yaml.preserve_quotes = 10_000, True  # long lines stay long
    yaml.indent(mapping=indent or 2, sequence=indent or 2, offset=offset or 0)
    document, stream = yaml.load(text), io.StringIO()
    for entry in entries:
        _insert(_mapping(_mapping(document, entry.section), entry.group), entry)
    yaml.dump(document, stream)
    out = _comments_of_anchors(text, stream.getvalue())
    expected = copy.deepcopy(loaded)
    for entry in entries:
        _mapping(_mapping(expected, entry.section), entry.group)[entry.key] = entry.values
    if YAML(typ="safe", pure=True).load(out) != expected:  # an odd layout
        raise ReidError(f"{path}: cannot be edited; write {', '.join(map(str, entries))} by hand")
    return out


def without_entries(path: Path, text: str, keys: Iterable[tuple[str, str, str]]) -> str:
    """`text`, the content of `path`, without the lines of entries: (section, group, key) each.

    A comment above an entry stays: it may be of those that follow. Raises `ReidError` where the
    lines are not an entry's alone.
    """
    lines, gone = text.splitlines(keepends=True), list(keys)
    expected = YAML(typ="safe", pure=True).load(text)
    root = YAML().compose(text)
    for section, group in dict.fromkeys((section, group) for section, group, _ in gone):
        owner, mapping = _node(_node(root, section)[1], group)
        for key in [key for s, g, key in gone if (s, g) == (section, group)]:
            del expected[section][group][key]
            name, value = _node(mapping, key)
            first, last = name.start_mark.line, max(name.end_mark.line, _last_line(value))
            lines[first : last + 1] = [""] * (last + 1 - first)
        if not expected[section][group]:  # dvc.yaml goes through a mapping
            line, column = owner.end_mark.line, owner.end_mark.column
            lines[line] = f"{lines[line][:column]}: {{}}{lines[line][column:].lstrip()[1:]}"
    out = "".join(lines)
    try:
        same = YAML(typ="safe", pure=True).load(out) == expected
    except (YAMLError, ValueError):
        same = False
    if not same:  # an odd layout: braces, or an anchor that others use
        named = ", ".join(".".join(key) for key in gone)
        raise ReidError(f"{path}: cannot be edited; take out {named} by hand")
    return out


def _node(mapping: Any, key: str) -> tuple[Any, Any]:
    """The nodes of a key and its value, which are there."""
    return next((name, value) for name, value in mapping.value if name.value == key)


def _last_line(node: Any) -> int:
    """The last line of a value, without the comments below it."""
    if isinstance(node.value, list) and not node.flow_style:
        inner = [
            each for item in node.value for each in (item if isinstance(item, tuple) else [item])
        ]
        return max(map(_last_line, inner), default=node.start_mark.line)
    if node.start_mark.index == node.end_mark.index:  # null: its marks are the next key's
        return 0
    return node.end_mark.line - (node.end_mark.column == 0)


def _comments_of_anchors(before: str, after: str) -> str:
    """Comments beside anchors and aliases are on their line again; ruamel writes them below it."""
    for line, comment in re.findall(r"^(.*: [&*]\S+)( +#.*)$", before, re.MULTILINE):
        bare = re.compile(rf"^{re.escape(line)}$", re.MULTILINE)
        below = re.compile(rf"\n +{re.escape(comment.strip())}$", re.MULTILINE)
        if len(bare.findall(after)) == len(below.findall(after)) == 1:
            after = bare.sub(lambda _, whole=line + comment: whole, below.sub("", after))
    return after


def _mapping(parent: dict[str, Any], key: str) -> Any:
    """The mapping at `key`, made where it is absent or null."""
    if parent.get(key) is None:
        parent[key] = CommentedMap()
    return parent[key]


def _insert(parent: CommentedMap, entry: Entry) -> None:
    """Append a key. Comments below the mapping hang on its last value: they move to the new one."""
    tail = _cut_tail(*_last(parent)) if parent and not parent.fa.flow_style() else ""
    values = CommentedMap(copy.deepcopy(entry.values))  # a part that is there twice: no anchor
    for key, value in entry.values.items():
        if isinstance(value, list):
            values[key] = CommentedSeq(value)
            values[key].fa.set_flow_style()  # on one line
    parent[entry.key] = values
    for key in values.keys() & entry.comments.keys():
        values.yaml_add_eol_comment(entry.comments[key], key, 0)
    if tail:
        owner, last = _last(parent)
        own = (owner.ca.items.get(last) or [None] * 4)[2]
        text = f"{own.value.rstrip()}\n{tail}" if own else f"\n{tail}"
        mark = own.start_mark if own else CommentMark(0)
        owner.ca.items[last] = [None, None, CommentToken(text, mark, None), None]


def _last(mapping: CommentedMap) -> tuple[CommentedMap, Any]:
    """The innermost last key below `mapping`, and its owner."""
    key = next(reversed(mapping))
    value = mapping[key]
    if isinstance(value, CommentedMap) and value and not value.fa.flow_style():
        return _last(value)
    return mapping, key


def _cut_tail(owner: CommentedMap, key: Any) -> str:
    """Take the blank lines and comments below a value away; one on its own line stays."""
    token = (owner.ca.items.get(key) or [None] * 4)[2]
    if token is None:
        return ""
    head, _, tail = token.value.partition("\n")
    if head:
        token.value = f"{head}\n"
    else:
        del owner.ca.items[key]
    return tail
