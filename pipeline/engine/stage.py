# pyarrow has no types:
# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false, reportUnknownParameterType=false
"""The contract of a derived-data stage: what its file tells the engine, with defaults.

A stage's file makes one `Stage`, and `pipeline.stages` lists it. The engine gives its step tables
of what it reads, and keeps what comes back beside the rows, or as a data set of new rows.

A data set of new rows may be what another stage derives from: as `dataset: crops/topview`, in a
build with a name of its own, such as topview-crops.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, NamedTuple, TypeVar, get_args

import pyarrow as pa

from reid.project.params import DerivedParams
from reid.shards.folder import Shards
from reid.shards.schema import ROW

Reads = Mapping[str, list[str]]  # columns by input: {"rows": ["image"], "joints": ["joints"]}
NewRows = tuple[pa.Table, list[tuple[str, str]]]  # rows, and (image_id, reason) of rejects


class Fit(NamedTuple):
    """A fit that is too large for JSON alone: what is worth reading, and a table."""

    facts: dict[str, Any]
    table: pa.Table


Params = TypeVar("Params", bound=DerivedParams)
Fitted = TypeVar("Fitted", bound="dict[str, Any] | Fit | None")


class Step(ABC):
    """What a stage does with one call's table; a worker has one for all its calls.

    The end result is a table of the stage's columns, same rows, and optionally of `reject`, a
    string column: null, or why the row has nulls. Of a stage of new rows it is `NewRows`.
    """

    def prepare(self, table: pa.Table) -> Any:
        """Runs ahead in a thread, such as decoding."""
        return table

    @abstractmethod
    def __call__(self, ready: Any) -> Any:
        """The main work, on what `prepare` returned."""

    def finish(self, made: Any) -> pa.Table | NewRows:
        """Runs behind in a thread, such as encoding."""
        return made


@dataclass(frozen=True)
class TableStep(Step):
    """A step that is one function of a table."""

    function: Callable[[pa.Table], pa.Table | NewRows]

    def __call__(self, ready: pa.Table) -> pa.Table | NewRows:
        return self.function(ready)


@dataclass(frozen=True)
class Resources(Generic[Fitted]):
    """What a worker has for a stage's step, beside the parameters."""

    device: str = "cpu"
    fitted: Fitted | None = None  # what the stage's `fit` returned
    anywhere: Mapping[str, Shards] = field(default_factory=dict[str, Shards])  # `reads_anywhere`


def no_weights(params: DerivedParams, root: Path) -> str:
    """The hash for a stage that reads no outside file: empty."""
    return ""


def usual_rows(params: DerivedParams) -> int:
    """The rows of one call, for a stage that asks for no other number."""
    return 256


def no_network(params: DerivedParams) -> bool:
    """The answer of a stage that runs no network."""
    return False


@dataclass(frozen=True)
class Stage(Generic[Params, Fitted]):
    """A derived-data stage. It goes to workers by pickle: its functions have names."""

    name: str
    params: type[Params]
    reads: Reads | Callable[[Params, Collection[str]], Reads]  # a function also gets base columns
    schema: pa.Schema  # the columns that it adds; image_id is added by the engine
    build: Callable[[Params, Resources[Fitted]], Step]
    # Once over the training rows of what it reads: what comes back is in `Resources`.
    fit: Callable[[Iterator[pa.Table], Params], Fitted] | None = None
    fit_reads: Reads | Callable[[Params, Collection[str]], Reads] | None = None  # None: `reads`
    # Whether the fit uses no labels: where a data set draws its splits at random it gets all rows.
    fit_unlabelled: bool = False
    weights: Callable[[Params, Path], str] = no_weights  # hash of outside files, below a root
    batch_rows: Callable[[Params], int] = usual_rows  # of one call
    # A call's table has so many rows more before and after its own, as far as the shard has them;
    # its column `own` says which are the call's, and the step returns rows for these alone.
    rows_around: int = 0
    needs_device: Callable[[Params], bool] = no_network  # whether it runs a network
    stage_of: Mapping[str, str] = field(default_factory=dict[str, str])  # of renamed inputs
    # Of any row, not its own: its folders of shards are in `Resources`.
    reads_anywhere: Reads | Callable[[Params], Reads] = field(default_factory=dict[str, list[str]])
    new_rows: bool = False  # whether the rows are a new data set's
    libraries: tuple[str, ...] = ()  # whose versions the footer tells
    # The given labels that belong to no image; None: the stage has no labels by name.
    unmatched: Callable[[Params, Iterable[str]], list[str]] | None = None
    # What to tell the user of a finished build, a line each, from its data set's rows and its own
    # folder; None: nothing.
    notes: Callable[[Params, Shards, Path], list[str]] | None = None

    def columns(self) -> pa.Schema:
        """The columns of its shards."""
        before = ROW if self.new_rows else [pa.field("image_id", pa.string(), nullable=False)]
        return pa.schema([*before, *self.schema])

    def reads_of(self, params: Params, columns: Collection[str]) -> Reads:
        """What the step reads, of base shards with these columns."""
        return self.reads(params, columns) if callable(self.reads) else self.reads

    def fit_reads_of(self, params: Params, columns: Collection[str]) -> Reads:
        """What the fit reads."""
        if self.fit_reads is None:
            return self.reads_of(params, columns)
        return self.fit_reads(params, columns) if callable(self.fit_reads) else self.fit_reads

    def reads_anywhere_of(self, params: Params) -> Reads:
        """What the step reads of any row."""
        return self.reads_anywhere(params) if callable(self.reads_anywhere) else self.reads_anywhere

    def backends(self) -> tuple[str, ...]:
        """The choices of its parameter `backend`; none where it has no such parameter."""
        choice = self.params.model_fields.get("backend")
        return get_args(choice.annotation) if choice else ()


AnyStage = Stage[Any, Any]
