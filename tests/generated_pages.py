"""The pages of docs/ that are made from the code: commands, data sets, and a page for each paper.

`python -m tests.generated_pages` writes them; tests/test_docs.py compares them with what is there.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import typer
from typer.core import TyperGroup as Group

from pipeline import datasets
from pipeline.commands.main import app
from reid import papers
from reid.papers.full_size import named
from reid.papers.table import Table

ROOT = Path(__file__).parent.parent
MADE = "<!-- made by `python -m tests.generated_pages`; edit its source, not this page -->\n"


def commands() -> str:
    """docs/commands.md: every command of `reid` with its arguments and options."""
    group = typer.main.get_command(app)
    by_panel: dict[str, list[str]] = {}
    for name, command in _commands_of(group):
        panel = command.rich_help_panel if isinstance(command.rich_help_panel, str) else "Hand on"
        by_panel.setdefault(panel, []).append(_command(name, command))
    sections = [f"## {panel}\n\n" + "\n".join(each) for panel, each in by_panel.items()]
    about = (
        "What each command takes. `reid COMMAND --help` says the same. Commands run inside a "
        "project: a folder with\nparams.yaml, or any folder below it. `--json` prints what a "
        "program can read. An error that you can mend is one\nline, and the status is 2.\n\n"
        "Long work shows a bar: how far it is, its speed, the time that is left, its log in "
        "`.work/logs`; without a terminal a\nline every 30 seconds. "
        "`reid --install-completion` lets the tab key complete names.\n"
    )
    return "\n".join([MADE, "# Commands\n", about, *sections])


def _commands_of(group: Any, before: str = "reid") -> list[tuple[str, Any]]:
    out: list[tuple[str, Any]] = []
    for name, command in group.commands.items():
        full = f"{before} {name}"
        out += _commands_of(command, full) if isinstance(command, Group) else [(full, command)]
    return out


def _command(name: str, command: Any) -> str:
    arguments = [p for p in command.params if p.param_type_name == "argument"]
    options = [p for p in command.params if p.param_type_name == "option"]
    shown = [f"[{_upper(p)}]" if not p.required else _upper(p) for p in arguments]
    told = re.sub(r"^Example: (.+)$", r"Example: `\1`", command.help, flags=re.MULTILINE)
    lines = [f"### `{' '.join([name, *shown])}`\n", f"{told}\n"]
    rows = [(f"`{_upper(p)}`", p.help or "", _default(p)) for p in arguments if p.help]
    rows += [(f"`{', '.join(p.opts)}`", p.help or "", _default(p)) for p in options]
    if rows:
        lines += ["| | | default |", "|---|---|---|"]
        lines += [
            f"| {what} | {help_.replace('|', chr(92) + '|')} | {d} |" for what, help_, d in rows
        ]
        lines.append("")
    return "\n".join(lines)


def _upper(argument: Any) -> str:
    return argument.name.upper()


def _default(parameter: Any) -> str:
    if parameter.required:
        return "required"
    value = parameter.default
    if callable(value) or value in (None, "", [], (), False):
        return ""
    return f"`{value}`"


def data_sets() -> str:
    """docs/data-sets.md: layout, counts, licence and source of every data set that can be read."""
    about = (
        "`reid datasets` prints the counts and addresses of this page. `reid add READER --root "
        "PATH` adds a data set to a project:\nit checks the folder, shows counts that differ from "
        "the published ones, links it, and writes its stages and the\npapers' full-size "
        "experiments into params.yaml. Nothing is copied, nothing is downloaded. How a stage or "
        "a protocol is\nchosen: [stages](stages.md), [training](training.md). Your own images: "
        "[own-data.md](own-data.md).\n"
    )
    listed = ["| reader | data set | papers |", "|---|---|---|"]
    for name in datasets.READERS:
        info = datasets.reader(name).info
        of = ", ".join(f"[{p}](papers/{p}.md)" for p in papers.full_size_of(name)) or "-"
        listed.append(f"| [`{name}`](#{name}) | {info.title} | {of} |")
    entries = [_data_set(name) for name in datasets.READERS]
    return "\n".join([MADE, "# Data sets\n", about, *listed, "", *entries])


def _data_set(name: str) -> str:
    info = datasets.reader(name).info
    counts = ", ".join(f"{key.replace('_', ' ')} {n:,}" for key, n in info.published.items())
    return "\n".join(
        [
            f"## {name}\n",
            _verbatim(_docstring(_reader_file(name))),
            "| | |",
            "|---|---|",
            f"| published counts | {counts or 'none'} |",
            f"| licence | {info.licence} |",
            f"| where | {info.where} |",
            f"| citation | {info.citation} |",
            "",
        ]
    )


def _reader_file(name: str) -> Path:
    """The file whose docstring tells a data set's layout; CUHK03's two data sets share one."""
    rooms = ROOT / "pipeline/datasets"
    if (rooms / f"{name}.py").is_file():
        return rooms / f"{name}.py"
    shared = name.rpartition("_")[0]
    room = rooms / name if (rooms / name).is_dir() else rooms / shared
    return room / "reader.py"


def paper(name: str) -> str:
    """docs/papers/<name>.md: what it reads, its source, where it differs, tables, experiments."""
    of = papers.paper_of(name)
    told = _docstring(ROOT / "reid/papers" / name / "paper.py")
    title, _, rest = told.partition("\n")
    lines = [MADE, f"# {name}\n", f"{title}\n", _verbatim(rest.strip())]
    lines += [
        f"Its folder is `reid/papers/{name}`: `paper.py` puts it together and says the above.",
        f"Its section of params.yaml is `{name}`.\n",
    ]
    if of.tables:
        lines += ["## Tables\n", "| `reid table` | | rows trained here | printed of others |"]
        lines += ["|---|---|---|---|"]
        lines += [_table(name, number, table) for number, table in of.tables.items()]
        lines += ["", *_notes(of.tables)]
    lines += ["## At its own size\n", "`reid add` writes these for a data set called NAME:\n"]
    lines += ["| reader | stages | experiments |", "|---|---|---|"]
    for reader, size in papers.FULL_SIZE[name]().items():
        stages = {s: list(named(builds, "NAME")) for s, builds in size.stages.items()}
        shown = ", ".join(f"{s} ({', '.join(b)})" for s, b in stages.items()) or "ingest alone"
        own = ", ".join(f"`{e}`" for e in named(size.experiments, "NAME"))
        lines.append(f"| {reader} | {shown} | {own} |")
    return "\n".join([*lines, ""])


def _table(name: str, number: int | str, table: Table) -> str:
    ours = [row.name for row in table.rows if row.overrides is not None]
    others = len(table.rows) - len(ours)
    shown = "; ".join(ours) or "none"
    return f"| `reid table {name} {number}` | {table.title} | {shown} | {others or ''} |"


def _notes(tables: Any) -> list[str]:
    told = [f"- {number}: {table.note}" for number, table in tables.items() if table.note]
    return [*told, ""] if told else []


def _docstring(path: Path) -> str:
    return ast.get_docstring(ast.parse(path.read_text("utf-8"))) or ""


def _verbatim(told: str) -> str:
    """A docstring as it is written: its columns are kept."""
    return f"```text\n{told.strip()}\n```\n"


def pages() -> dict[str, Callable[[], str]]:
    """By path below the root, how each generated page is made."""
    made: dict[str, Callable[[], str]] = {
        "docs/commands.md": commands,
        "docs/data-sets.md": data_sets,
    }
    for name in papers.PAPERS:
        made[f"docs/papers/{name}.md"] = lambda name=name: paper(name)
    return made


def main() -> None:
    for path, make in pages().items():
        (ROOT / path).write_text(make(), "utf-8")
        sys.stdout.write(f"{path}\n")


if __name__ == "__main__":
    main()
