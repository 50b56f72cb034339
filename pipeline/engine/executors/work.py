"""What an executor runs, and what it gives back.

A `Work` is picklable; `start()` runs once per worker (it loads the model), and what it returns
takes one payload and gives one small outcome. Images never travel between processes: payloads
name files, outcomes are counts and hashes. Another executor is one more function of the shape
`(work, payloads, workers) -> Iterator[(index, outcome)]`; 0 workers are as many as there is room.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Generator, Sequence
from typing import Any, Protocol

from reid.project.errors import ReidError


class Work(Protocol):
    """What a worker needs to know. Subclasses are picklable."""

    @abstractmethod
    def start(self) -> Callable[[Any], Any]:
        """Load what is needed, once in each worker; returns a function of one payload."""
        ...

    def needs_gpu(self) -> bool:
        """Whether it runs a network that would use a GPU."""
        return False

    def ended(self, process: str) -> None:
        """Remove, in the main process, what a killed worker left behind."""


Outcomes = Generator[tuple[int, Any], None, None]  # closing it ends the workers
Executor = Callable[[Work, Sequence[Any], int], Outcomes]


class PayloadLost(ReidError):
    """A payload whose workers died again and again; `index` is its position among the payloads."""

    def __init__(self, index: int, reason: str) -> None:
        super().__init__(reason)
        self.index = index
