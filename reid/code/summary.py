"""One source file as what it defines: a hash of each definition, and the names that it uses.

A hash covers the syntax tree without comments, layout, docstrings, annotations, what is raised and
what is logged. So a comment, a type or a better message changes no hash, any other edit does. Of an
annotation a call counts that is handed a name or a lambda, such as a validator: it may be run.
Every Python version gives the same hashes.
"""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from typing import Any

LEFT_OUT = {"ctx", "kind", "type_comment", "type_params", "annotation", "returns"}  # of every node
LOGGING = {"debug", "info", "warning", "error", "exception"}  # methods of `LOGGERS`
LOGGERS = {"log", "logger"}


@dataclass(frozen=True)
class Piece:
    """Code that is hashed as one: its digest, the names it uses, and its own imports."""

    digest: str
    names: list[str]  # as written: `decode`, `images.decode`
    imports: dict[str, str] = field(default_factory=dict)  # by name here, see `imports_of`
    types: list[str] = field(default_factory=list)  # names in annotations: whose values it has


@dataclass(frozen=True)
class Definition:
    """A function, a class or a constant at the top of a module."""

    pieces: dict[str, Piece]  # "" is all of it; for a class all but its methods, which follow
    items: dict[str, Piece] | None = None  # of a dict literal whose keys are text
    call: str = ""  # of `NAME = Call(key=value)`: the name of what is called
    keywords: dict[str, Piece] | None = None  # and its arguments by keyword
    is_class: bool = False
    hands: bool = False  # a constant that counts as code also where it is a type: see `_handed`


@dataclass(frozen=True)
class Summary:
    """One source file."""

    imports: dict[str, str]
    definitions: dict[str, Definition]
    statements: list[Piece]  # what importing the module does besides defining
    types: dict[str, str] = field(default_factory=dict)  # imports for annotations alone

    def as_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def of_json(cls, noted: dict[str, Any]) -> Summary:
        definitions = {
            name: Definition(
                _pieces(d["pieces"]) or {},
                _pieces(d["items"]),
                d["call"],
                _pieces(d["keywords"]),
                d["is_class"],
                d["hands"],
            )
            for name, d in noted["definitions"].items()
        }
        statements = [Piece(**p) for p in noted["statements"]]
        return cls(noted["imports"], definitions, statements, noted["types"])


def _pieces(noted: dict[str, Any] | None) -> dict[str, Piece] | None:
    return None if noted is None else {name: Piece(**piece) for name, piece in noted.items()}


def summarise(source: bytes, module: str, is_package: bool) -> Summary:
    """The summary of a module's source. Raises `SyntaxError` where Python would."""
    package = module if is_package else module.rpartition(".")[0]
    imports: dict[str, str] = {}
    definitions: dict[str, Definition] = {}
    types: dict[str, str] = {}
    statements: list[Piece] = []
    for node in ast.parse(source).body:
        if isinstance(node, ast.Import | ast.ImportFrom):
            imports |= imports_of([node], package)
        elif _is_for_checkers(node):
            types |= imports_of(ast.walk(node), package)
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            _add(definitions, node.name, Definition({"": _piece([node], package)}))
        elif isinstance(node, ast.ClassDef):
            _add(definitions, node.name, Definition(_class_pieces(node, package), is_class=True))
        elif (names := _assigned(node)) and not _is_declaration(node):
            for name in names:
                _add(definitions, name, _constant(node, package))
        elif not _is_nothing(node):
            imports |= imports_of(ast.walk(node), package)
            statements.append(_piece([node], package))
    return Summary(imports, definitions, statements, types)


def imports_of(nodes: Iterable[ast.AST], package: str) -> dict[str, str]:
    """What the imports among `nodes` bind: `module`, or `module:name` of a from-import.

    A name that is bound twice, as in `try` and `except`, has both, with a bar between; what a star
    binds is under `*module`.
    """
    bound: dict[str, str] = {}

    def bind(name: str, target: str) -> None:
        known = bound.get(name)
        bound[name] = target if known in (None, target) else f"{known}|{target}"

    for node in nodes:
        if isinstance(node, ast.Import):
            for alias in node.names:
                if alias.asname:
                    bind(alias.asname, alias.name)
                else:  # binds the first part; the whole is loaded
                    top = alias.name.split(".")[0]
                    bind(top, top)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                above = package.split(".")[: len(package.split(".")) - node.level + 1]
                base = ".".join([*above, *([base] if base else [])])
            for alias in node.names:
                if alias.name == "*":
                    bind(f"*{base}", base)
                else:
                    bind(alias.asname or alias.name, f"{base}:{alias.name}")
    return bound


def _add(definitions: dict[str, Definition], name: str, definition: Definition) -> None:
    """Add a definition; a name defined twice (an overload, `X += ...`) has the pieces of both."""
    before = definitions.get(name)
    if before is not None:
        pieces = {f"{key}@{len(before.pieces)}": piece for key, piece in definition.pieces.items()}
        definition = Definition({**before.pieces, **pieces})
    definitions[name] = definition


def _assigned(node: ast.stmt) -> list[str]:
    """The names that a module-level assignment binds; none where it binds anything else."""
    targets: list[ast.expr] = []
    if isinstance(node, ast.Assign):
        targets = node.targets
    elif isinstance(node, ast.AnnAssign | ast.AugAssign):
        targets = [node.target]
    names: list[str] = []
    for target in targets:
        inner = target.elts if isinstance(target, ast.Tuple | ast.List) else [target]
        if not all(isinstance(t, ast.Name) for t in inner):
            return []
        names += [t.id for t in inner if isinstance(t, ast.Name)]
    return names


def _is_declaration(node: ast.stmt) -> bool:
    """Whether a statement only declares: an annotation without a value."""
    return isinstance(node, ast.AnnAssign) and node.value is None


def _is_for_checkers(node: ast.stmt) -> bool:
    """`if TYPE_CHECKING:` without an `else`."""
    names = {"TYPE_CHECKING", "typing.TYPE_CHECKING"}
    return isinstance(node, ast.If) and ast.unparse(node.test) in names and not node.orelse


def _is_nothing(node: ast.stmt) -> bool:
    """Docstrings, bare declarations, and what is for type checkers alone."""
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
        return True
    return _is_declaration(node) or isinstance(node, ast.Pass)


def _class_pieces(node: ast.ClassDef, package: str) -> dict[str, Piece]:
    """The class without its methods, and each method."""
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
    methods = [n for n in node.body if isinstance(n, kinds)]
    rest = ast.ClassDef(
        node.name, node.bases, node.keywords,
        [n for n in node.body if n not in methods], node.decorator_list,
    )  # fmt: skip
    pieces = {"": _piece([rest], package)}
    for method in methods:
        key = method.name if method.name not in pieces else f"{method.name}@{len(pieces)}"
        pieces[key] = _piece([method], package)
    return pieces


def _constant(node: ast.stmt, package: str) -> Definition:
    value = getattr(node, "value", None)
    whole = {"": _piece([node], package)}
    if isinstance(value, ast.Subscript):  # maybe an `Annotated`
        return Definition(whole, hands=any(_handed(value)))
    if isinstance(value, ast.Dict) and value.keys and all(map(_is_text, value.keys)):
        pairs = zip(value.keys, value.values, strict=True)
        items = {k.value: _piece([v], package) for k, v in pairs if isinstance(k, ast.Constant)}
        return Definition(whole, items={str(k): v for k, v in items.items()})
    if isinstance(value, ast.Call) and all(k.arg for k in value.keywords):
        keywords = {str(k.arg): _piece([k.value], package) for k in value.keywords}
        keywords[""] = _piece([value.func, *value.args], package)
        return Definition(whole, call=ast.unparse(value.func), keywords=keywords)
    return Definition(whole)


def _is_text(node: ast.expr | None) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, str)


def _piece(nodes: list[ast.AST], package: str) -> Piece:
    digest = hashlib.sha256()
    names: set[str] = set()
    types: set[str] = set()
    imports: dict[str, str] = {}
    for node in nodes:
        for token in _tokens(node):
            digest.update(token.encode("utf-8", "surrogatepass") + b"\0")
        names |= set(_names(node))
        for annotation in _annotations(node):
            types |= set(_names(annotation))
            for call in _handed(annotation):
                digest.update("\0".join(_tokens(call)).encode("utf-8", "surrogatepass") + b"\0")
                names |= set(_names(call))
        imports |= imports_of(ast.walk(node), package)
    return Piece(digest.hexdigest()[:16], sorted(names), imports, sorted(types - names))


def _tokens(node: Any, in_class: bool = False) -> Iterator[str]:
    """A syntax tree as words: kinds of nodes, fields that are not empty, values."""
    if isinstance(node, list):
        yield "["
        for item in node:
            yield from _tokens(item, in_class)
        yield "]"
    elif not isinstance(node, ast.AST):
        yield repr(node)
    elif isinstance(node, ast.Raise):
        yield "Raise"
    elif isinstance(node, ast.AnnAssign) and not in_class:  # its type aside, an assignment
        if node.value is not None:
            yield from _tokens(ast.Assign([node.target], node.value))
    elif not _is_logging(node):
        yield type(node).__name__
        for name, value in ast.iter_fields(node):
            if name in LEFT_OUT or (name == "msg" and isinstance(node, ast.Assert)):
                continue
            if value is None or value == []:
                continue
            yield name
            body = _without_docstring(value) if name == "body" else value
            yield from _tokens(body, isinstance(node, ast.ClassDef) and name == "body")
        yield ";"


def _without_docstring(body: Any) -> Any:
    first = body[0] if isinstance(body, list) and body else None
    if isinstance(first, ast.Expr) and _is_text(first.value):
        return body[1:]
    return body


def _is_logging(node: ast.AST) -> bool:
    """`self.log.info(...)`, as a statement."""
    call = node.value if isinstance(node, ast.Expr) else None
    if not (isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute)):
        return False
    owner = call.func.value
    name = owner.attr if isinstance(owner, ast.Attribute) else getattr(owner, "id", "")
    return call.func.attr in LOGGING and name in LOGGERS


def _names(node: ast.AST) -> Iterator[str]:
    """The names that an expression or statement uses, with their attributes: `images.decode`."""
    if isinstance(node, ast.Raise) or _is_logging(node):
        return
    if isinstance(node, ast.Attribute):
        chain, owner = [node.attr], node.value
        while isinstance(owner, ast.Attribute):
            chain, owner = [owner.attr, *chain], owner.value
        if isinstance(owner, ast.Name):
            yield ".".join([owner.id, *chain])
        else:
            yield from _names(owner)
        return
    if isinstance(node, ast.Name):
        yield node.id
        return
    for name, value in ast.iter_fields(node):
        if name in LEFT_OUT or (name == "msg" and isinstance(node, ast.Assert)):
            continue
        for child in value if isinstance(value, list) else [value]:
            if isinstance(child, ast.AST):
                yield from _names(child)


def _annotations(node: ast.AST) -> Iterator[ast.expr]:
    """All annotations, also what is quoted in them: what a function is handed is code of theirs."""
    for inner in ast.walk(node):
        for name in ("annotation", "returns"):
            annotation = getattr(inner, name, None)
            if not isinstance(annotation, ast.expr):
                continue
            yield annotation
            for part in ast.walk(annotation):
                if isinstance(part, ast.Constant) and isinstance(part.value, str):
                    with suppress(SyntaxError):  # a word of a Literal
                        yield ast.parse(part.value, mode="eval").body


def _handed(annotation: ast.expr) -> Iterator[ast.Call]:
    """The calls in a type that are handed a name or a lambda, such as `AfterValidator(check)`."""
    for part in ast.walk(annotation):
        if isinstance(part, ast.Call):
            values = [*part.args, *(keyword.value for keyword in part.keywords)]
            inner = (node for value in values for node in ast.walk(value))
            if any(isinstance(node, ast.Name | ast.Lambda) for node in inner):
                yield part
