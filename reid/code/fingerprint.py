"""The code that decides a result, as a fingerprint: all definitions reached from its start.

From the definitions that compute a result, every name is followed through this project's modules
to the definition that it means. So an edit changes the keys of exactly those results that it can
change, and the names of the definitions say what changed. Names are followed as they are written:
what is reached only by a name made at run time is not seen; this project has no such code.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

from reid.code.summary import Definition, Piece, Summary, summarise
from reid.project.layout import key_of, write_atomically

PACKAGES = ("reid", "pipeline")
TYPE = "~"  # before a name that stands in an annotation
FORMAT = 3  # of the kept summaries
OUTSIDE = (  # these change no result: messages, progress, locks, how work runs, what is shown
    "reid.code", "reid.project", "reid.report", "reid.look", "reid.results", "reid.export",
    "pipeline.commands", "pipeline.builds", "pipeline.engine.executors", "pipeline.engine.journal",
    "pipeline.engine.data_card",
)  # fmt: skip


@dataclass(frozen=True)
class Start:
    """Where the code of a result starts.

    `roots` are `module` (all of it) or `module:name`. `chosen` maps a dict's `module:name` to those
    of its keys that count; `left_out` maps a called name to the keyword arguments that do not.
    """

    roots: tuple[str, ...]
    chosen: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    left_out: Mapping[str, frozenset[str]] = field(default_factory=dict)
    outside: tuple[str, ...] = ()  # modules that change no result; () is `OUTSIDE`
    omitted: frozenset[str] = frozenset()  # methods, `module:Class.method`, that do not count


@dataclass(frozen=True)
class Code:
    """The definitions that decide a result, each with its digest."""

    definitions: dict[str, str]

    @property
    def fingerprint(self) -> str:
        return key_of(self.definitions)

    @property
    def modules(self) -> set[str]:
        return {name.split(":")[0] for name in self.definitions}


def changes(before: Mapping[str, str], after: Mapping[str, str]) -> list[str]:
    """In words, which definitions differ: `reid.nn.losses: batch_hard_triplet changed`."""
    lines = []
    for name in sorted({*before, *after}):
        if before.get(name) == after.get(name):
            continue
        module, _, definition = name.partition(":")
        what = "added" if name not in before else "removed" if name not in after else "changed"
        lines.append(f"{module}: {definition or 'what importing it does'} {what}")
    changed = [line for line in lines if line.endswith(" changed")]
    return [*changed, *(line for line in lines if line not in changed)]


def of(start: Start, cache_folder: Path | None = None) -> Code:
    """The code that is reached from `start` in the present sources."""
    return Code(_Walk(start, _Summaries(cache_folder)).definitions())


class _Summaries:
    """Summaries of source files, kept on disk below `folder` by the files' content."""

    def __init__(self, folder: Path | None):
        self.path = folder / "summaries" if folder else None
        self.kept = self._read()
        self.used: dict[str, Any] = {}
        self.fresh = False

    def _read(self) -> dict[str, Any]:
        """The summaries on disk; none where the file is absent, of another format, or damaged."""
        try:
            at = self.path.stat() if self.path else None
        except OSError:
            return {}
        return _kept(self.path, at.st_mtime_ns, at.st_size) if self.path and at else {}

    def of(self, module: str, packages: Iterable[str]) -> Summary | None:
        """The summary of a module of this project; None where there is no such module."""
        path = source_of(module, packages)
        if path is None:
            return None
        source = path.read_bytes()
        digest = hashlib.sha256(source).hexdigest()
        key = f"{module} {digest}"
        noted = self.used.get(key) or self.kept.get(key)
        if noted is None:
            noted = summarise(source, module, path.name == "__init__.py").as_json()
            self.fresh = True
        self.used[key] = noted
        return Summary.of_json(noted)

    def keep(self) -> None:
        """Write new summaries to disk, without those of old versions of the same files."""
        if self.path is None or not self.fresh:
            return
        names = {key.split()[0] for key in self.used}
        others = {k: v for k, v in self.kept.items() if k.split()[0] not in names}
        text = json.dumps({**others, **self.used}).encode()
        write_atomically(self.path, _head(text) + b"\n" + text)


@lru_cache(2)
def _kept(path: Path, changed_ns: int, size: int) -> dict[str, Any]:
    """The summaries in a file as it was then."""
    try:
        head, _, text = path.read_bytes().partition(b"\n")
    except OSError:
        return {}
    return json.loads(text) if head == _head(text) else {}


@cache
def _package_folder(package: str) -> Path | None:
    loaded = sys.modules.get(package)
    file = loaded.__file__ if loaded else None
    if file is None:
        spec = importlib.util.find_spec(package)
        file = spec.origin if spec else None
    return Path(file).parent if file else None


def source_of(module: str, packages: Iterable[str] = PACKAGES) -> Path | None:
    """The file of a module of this project; None where it is none."""
    package, *rest = module.split(".")
    folder = _package_folder(package) if package in packages else None
    if folder is None:
        return None
    path = folder.joinpath(*rest)
    for candidate in (path / "__init__.py", path.with_name(path.name + ".py")):
        if candidate.is_file():
            return candidate
    return None


class _Walk:
    """Follows names from definition to definition."""

    def __init__(self, start: Start, summaries: _Summaries):
        self.start, self.summaries = start, summaries
        self.packages = {*PACKAGES, *(root.split(".")[0] for root in start.roots)}
        self.outside = tuple(f"{name}." for name in start.outside or OUTSIDE)
        self.loaded: dict[str, Summary | None] = {}
        self.seen: set[tuple[str, str]] = set()
        self.digests: dict[str, str] = {}
        self.waiting: list[tuple[str, str]] = []  # module, and name or "" for all of it

    def definitions(self) -> dict[str, str]:
        for root in self.start.roots:
            module, _, name = root.partition(":")
            summary = self.summary(module)
            if summary is None:
                raise ValueError(f"{root}: no such module")
            if name and name not in {**summary.definitions, **summary.imports}:
                raise ValueError(f"{root}: {module} defines no {name}")
            self.waiting.append((module, name))
        while self.waiting:
            module, name = self.waiting.pop()
            if (module, name) not in self.seen and not self.is_outside(module):
                self.seen.add((module, name))
                self._visit(module, name)
        self.summaries.keep()
        return dict(sorted(self.digests.items()))

    def is_outside(self, module: str) -> bool:
        """Whether a module can change no result."""
        return f"{module}.".startswith(self.outside)

    def summary(self, module: str) -> Summary | None:
        if module not in self.loaded:
            self.loaded[module] = self.summaries.of(module, self.packages)
        return self.loaded[module]

    def _visit(self, module: str, name: str) -> None:
        summary = self.summary(module)
        if summary is None:
            return
        if name.startswith(TYPE):
            self._type(module, name.removeprefix(TYPE), summary)
            return
        self._statements(module, summary)
        if not name:
            self.waiting += [(module, each) for each in summary.definitions]
        elif name in summary.definitions:
            self._definition(module, name, summary.definitions[name])
        elif name in summary.imports:
            self._follow(summary.imports[name], [])
        elif self.summary(f"{module}.{name}") is not None:
            self.waiting.append((f"{module}.{name}", ""))
        elif "__getattr__" in summary.definitions:
            self.waiting.append((module, "__getattr__"))

    def _type(self, module: str, name: str, summary: Summary) -> None:
        """Queue the class that a name in an annotation means, also through names of types."""
        bound = {**summary.types, **summary.imports}
        definition = summary.definitions.get(name)
        if definition is not None and (definition.is_class or definition.hands):
            self.waiting.append((module, name))
        elif definition is not None:
            for piece in definition.pieces.values():
                self._types(module, [*piece.names, *piece.types], bound, summary)
        elif name in bound:
            self._follow(bound[name], [], TYPE)

    def _types(
        self, module: str, names: Iterable[str], bound: Mapping[str, str], summary: Summary
    ) -> None:
        for name in names:
            first, *rest = name.split(".")
            if first in summary.definitions:
                self.waiting.append((module, f"{TYPE}{first}"))
            elif first in bound:
                self._follow(bound[first], rest, TYPE)

    def _statements(self, module: str, summary: Summary) -> None:
        """Add what importing a module and its parent packages does."""
        if (module, "\0") in self.seen:
            return
        self.seen.add((module, "\0"))
        for name, target in summary.imports.items():
            if name.startswith("*"):
                self._follow(target, [])
        for index, piece in enumerate(summary.statements):
            self._piece(module, f"{module}:" if not index else f"{module}:{index}", piece)
        parent = module.rpartition(".")[0]
        above = self.summary(parent) if parent else None
        if above is not None and not self.is_outside(parent):
            self._statements(parent, above)

    def _definition(self, module: str, name: str, definition: Definition) -> None:
        full = f"{module}:{name}"
        if definition.items is not None and full in self.start.chosen:
            for key in self.start.chosen[full]:
                if key in definition.items:
                    self._piece(module, f"{full}[{key}]", definition.items[key])
            return
        left_out = self.start.left_out.get(definition.call.rpartition(".")[2])
        if definition.keywords is not None and left_out is not None:
            for key, piece in definition.keywords.items():
                if key not in left_out:
                    self._piece(module, f"{full}.{key}" if key else full, piece)
            return
        for key, piece in definition.pieces.items():
            whole = f"{full}.{key}" if key else full
            if whole not in self.start.omitted:
                contract = name in self.start.left_out  # its fields' types are of what is left out
                self._piece(module, whole, replace(piece, types=[]) if contract else piece)

    def _piece(self, module: str, full: str, piece: Piece) -> None:
        summary = self.summary(module)
        assert summary is not None
        bound = {**summary.imports, **piece.imports}
        outer: list[str] = []
        for name in piece.names:
            first, *rest = name.split(".")
            if first in piece.imports or (first in bound and first not in summary.definitions):
                target = bound[first]
                outer += [f"{first}={target}"] if not self._is_ours(target) else []
                self._follow(target, rest)
            elif first in summary.definitions:
                self.waiting.append((module, first))
        for target in piece.imports.values():  # also of what is imported and not named again
            self._load(target)
        self._types(module, piece.types, {**summary.types, **bound}, summary)
        self.digests[full] = _digest([piece.digest, *sorted(outer)])

    def _is_ours(self, targets: str) -> bool:
        return any(t.split(":")[0].split(".")[0] in self.packages for t in targets.split("|"))

    def _load(self, targets: str) -> None:
        """A local import runs its module's statements."""
        for target in targets.split("|"):
            module = target.split(":")[0]
            summary = self.summary(module) if self._is_ours(target) else None
            if summary is not None and not self.is_outside(module):
                self._statements(module, summary)

    def _follow(self, targets: str, attributes: list[str], kind: str = "") -> None:
        """Queue what an imported name means: a module's definition, or all of a module.

        Of a `kind` TYPE it is the class that counts, and a module by itself is nothing.
        """
        for target in targets.split("|"):
            module, _, name = target.partition(":")
            if not self._is_ours(target):
                continue
            names = [*([name] if name else []), *attributes]
            while names and self._is_submodule(module, names[0]):
                module, names = f"{module}.{names[0]}", names[1:]
            if self.summary(module) is not None and (names or not kind):
                self.waiting.append((module, f"{kind}{names[0]}" if names else ""))

    def _is_submodule(self, module: str, name: str) -> bool:
        summary = self.summary(module)
        if summary is not None and (name in summary.definitions or name in summary.imports):
            return False
        return source_of(f"{module}.{name}", self.packages) is not None


def _head(text: bytes) -> bytes:
    """The first line of the file of summaries: their format and their hash."""
    return f"{FORMAT} {hashlib.sha256(text).hexdigest()}".encode()


def _digest(parts: Iterable[str]) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]
