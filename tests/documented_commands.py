"""Command lines of README.md and docs/, parsed as their programs parse them; nothing is run."""

from __future__ import annotations

import importlib.util
import re
import shlex
import tomllib
from collections.abc import Callable
from typing import Any

import typer
from typer.core import TyperGroup

from pipeline.commands.main import app
from tests.pages import ROOT

ASSIGNMENT = re.compile(r"[A-Z_]+=.*")


def command_lines(text: str) -> list[list[str]]:
    """The words of each line of a shell block, without comments and variables before a command."""
    out: list[list[str]] = []
    for line in text.replace("\\\n", " ").splitlines():
        words = shlex.split(line, comments=True)
        while words and ASSIGNMENT.fullmatch(words[0]):
            words.pop(0)
        if words:
            out.append(words)
    return out


def parse(words: list[str]) -> None:
    """Fails where the program of a line would not take it, or is not one that is known here."""
    program, *arguments = words
    assert program in PROGRAMS, f"`{program}` cannot be checked: mark its fence as text"
    PROGRAMS[program](arguments)


def find(arguments: list[str]) -> tuple[Any, list[str]]:
    """The command of `reid` that words begin with, and the words behind its name."""
    command: Any = typer.main.get_command(app)
    rest, path = list(arguments), "reid"
    while isinstance(command, TyperGroup):
        assert rest, f"{path}: a command is missing"
        if rest[0].startswith("--"):  # of the program itself, such as --version
            return command, rest
        name = rest.pop(0)
        assert name in command.commands, f"{path} has no command {name}"
        command, path = command.commands[name], f"{path} {name}"
    return command, rest


def options(command: Any) -> set[str]:
    return {name for parameter in command.params for name in parameter.opts} | {"--help"}


def _reid(arguments: list[str]) -> None:
    command, rest = find(arguments)
    command.make_context(command.name, rest)  # parses; only `invoke` would run it


def _make(arguments: list[str]) -> None:
    targets = re.findall(r"^([a-z-]+(?: [a-z-]+)*):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    known = {name for line in targets for name in line.split()}
    for argument in arguments:
        assert ASSIGNMENT.fullmatch(argument) or argument in known, f"no target {argument}"


def _dvc(arguments: list[str]) -> None:
    from dvc.cli.parser import get_main_parser

    get_main_parser().parse_args(arguments)


def _python(arguments: list[str]) -> None:
    assert arguments[0] == "-m", "only `python -m MODULE` is checked"
    assert importlib.util.find_spec(arguments[1]) is not None, arguments[1]


def _torchrun(arguments: list[str]) -> None:
    from torch.distributed.run import get_args_parser

    given = get_args_parser().parse_args(arguments)
    assert given.module
    assert given.training_script == "reid"
    _reid(given.training_script_args)


def _pip(arguments: list[str]) -> None:
    """The package is on no index: it is installed from the checkout."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert arguments[0] == "install"
    for argument in arguments[1:]:
        match = re.fullmatch(r"\.(?:\[([\w,]+)\])?", argument)
        assert match is not None, argument
        assert {*(match[1] or "").split(",")} - {""} <= {*project["optional-dependencies"]}


def _cd(arguments: list[str]) -> None:
    (folder,) = arguments
    assert (ROOT / folder).is_dir(), folder


def _mkdir(arguments: list[str]) -> None:
    """The line is run by tests/test_dvc_consumers.py; here only its form is looked at."""
    assert arguments[0] == "-p"
    assert all(re.fullmatch(r"[\w/.-]+", folder) for folder in arguments[1:])


PROGRAMS: dict[str, Callable[[list[str]], None]] = {
    "cd": _cd, "reid": _reid, "make": _make, "dvc": _dvc, "python": _python, "pip": _pip,
    "torchrun": _torchrun, "mkdir": _mkdir,
}  # fmt: skip
