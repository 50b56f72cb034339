"""The executor that params.yaml or a command names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from pipeline.engine.executors.local import in_process, pool
from pipeline.engine.executors.work import Executor, Outcomes, Work
from reid.project.errors import ReidError


def on_ray(
    work: Work, payloads: Sequence[Any], workers: int,
    *, address: str = "", gpus_per_worker: float = 1,
) -> Outcomes:  # fmt: skip
    """Actors of a Ray cluster. Without an address, Ray is started on this machine and ended again.

    `gpus_per_worker` is asked for by work that runs a network, where the cluster has GPUs.
    """
    from pipeline.engine.executors.ray import over_ray

    return over_ray(work, payloads, workers, address=address, gpus_per_worker=gpus_per_worker)


EXECUTORS: dict[str, Executor] = {"local": in_process, "pool": pool, "ray": on_ray}


def chosen(name: str, *, address: str = "", gpus_per_worker: float = 1) -> Executor:
    """The executor of a name, with what Ray alone takes. `ReidError` for no such name."""
    if name not in EXECUTORS:
        raise ReidError(f"no executor `{name}` (there are {', '.join(EXECUTORS)})")
    if name != "ray" and address:
        raise ReidError(f"executor {name}: takes no address; leave it out, or use --executor ray")
    if gpus_per_worker < 0:
        raise ReidError(f"run: gpus_per_worker is {gpus_per_worker:g}, must be 0 or more")
    if name == "ray":
        return partial(on_ray, address=address, gpus_per_worker=gpus_per_worker)
    return EXECUTORS[name]


def of_settings(
    settings: Mapping[str, Any], name: str | None = None, address: str | None = None
) -> Executor:
    """The executor of params.yaml's section `run`, unless a command gives `name` or `address`.

    The section's address and GPUs are Ray's alone, and stay there when another executor is named.
    """
    name = name or str(settings.get("executor", "pool"))
    if name != "ray":
        return chosen(name, address=address or "")
    address = str(settings.get("address", "")) if address is None else address
    return chosen(name, address=address, gpus_per_worker=settings.get("gpus_per_worker", 1))
