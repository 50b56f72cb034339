"""Flow by any network of ptlflow that takes pairs of frames.

`model` is the library's name, such as liteflownet or raft. Of `weights` it has several by name:
things, which is `pretrained`, and sintel and kitti, fitted to these data sets. Sizes that a network
cannot take are scaled or padded by the library. Frames of one size go in `batch` pairs at a time.
Differs  the flow of a batch is that of its pairs alone: see `liteflownet_warp`. Another model that
         mixes the pairs of a batch is refused, with `batch: 1` as the way out. Correlations are
         computed otherwise, to rounding the same: see `flow_correlation`.
"""

from __future__ import annotations

import contextlib
import difflib
import importlib
import io
import logging
import sys
import warnings
from collections.abc import Callable, Generator, Sequence
from typing import Any, Protocol

import numpy as np

from pipeline.backends import settings
from pipeline.backends.checkpoints import library
from pipeline.backends.choices import NETWORKS, Choice, choose, file_of, fill
from pipeline.backends.sizes import Size, by_size
from reid.arrays.flow import Flow
from reid.project.errors import ReidError

DEFAULT_MODEL = NETWORKS["flow_ptlflow"].model
PRETRAINED = "things"  # the library's name of what `pretrained` is, where a model has it
INSTALL = "`pip install ptlflow==0.4.2`"
TRIED = 3, 128  # pairs of a trial batch (three are what LiteFlowNet mixes), and their side


class Settings(settings.Network, Protocol):
    """What this backend takes from the stage's parameters."""

    @property
    def batch(self) -> int: ...


def build(
    settings: Settings, device: str
) -> Callable[[Sequence[tuple[np.ndarray, np.ndarray]]], list[Flow]]:
    """Load the network; see `pipeline.backends` for what is returned."""
    network = Network(settings.model or DEFAULT_MODEL, device, load(settings))
    if settings.batch > 1:
        network.check_batches()

    def run(pairs: list[np.ndarray], size: Size) -> list[Flow]:
        flows: list[Flow] = []
        for first in range(0, len(pairs), settings.batch):
            batch = network(np.stack(pairs[first : first + settings.batch]))
            flows += [Flow(flow_px, np.ones(size, bool)) for flow_px in batch]
        return flows

    return lambda pairs: by_size([np.stack(pair, 2) for pair in pairs], lambda size: size, run)


class Network:
    """A network of ptlflow over pairs of one size."""

    def __init__(self, name: str, device: str, model: Any):
        self.name, self.device, self.model = name, device, model.to(device).eval()

    def __call__(self, pairs: np.ndarray) -> np.ndarray:
        """(B, H, W, 2, 3) uint8 RGB to (B, H, W, 2) float32 pixels."""
        flow = self._run(pairs).movedim(1, -1).float().cpu().numpy()
        if not np.isfinite(flow).all():
            raise self._error(pairs, "no numbers come out")
        return flow

    def check_batches(self) -> None:
        """Refuse a network whose flow of a pair depends on the pairs beside it."""
        count, side = TRIED
        pairs = np.random.default_rng(0).integers(0, 256, (count + 1, side, side, 2, 3), np.uint8)
        first, other = (self._run(pairs[[0, *rest]])[0] for rest in ((1, 2), (3, 1)))
        if not first.equal(other):
            raise ReidError(
                f"flow: ptlflow's {self.name} mixes the pairs of a batch; set `batch: 1`"
            )

    def _run(self, pairs: np.ndarray) -> Any:
        """(B, 2, H, W) flow."""
        import torch

        bgr = torch.from_numpy(pairs[..., ::-1].copy()).to(self.device)
        images = bgr.permute(0, 3, 4, 1, 2).contiguous().float() / 255  # (B, 2, 3, H, W)
        try:
            with torch.inference_mode(), warnings.catch_warnings():
                warnings.simplefilter("ignore")  # torch's older names
                return self.model({"images": images})["flows"][:, 0]
        except torch.OutOfMemoryError:
            raise  # its own words say how much there was; a smaller `batch` helps
        except (RuntimeError, ValueError, LookupError, AssertionError, TypeError) as error:
            raise self._error(pairs, " ".join(str(error).split())[:200]) from None

    def _error(self, pairs: np.ndarray, what: str) -> ReidError:
        count, height, width = pairs.shape[:3]
        return ReidError(
            f"flow: ptlflow's {self.name} cannot take {count} pairs of {width} x {height} pixels "
            f"({what}); small frames may need `scale: 2`, or another model"
        )


def import_ptlflow() -> Any:
    """The library, which says much while it is imported."""
    loguru = library("loguru", INSTALL)
    loguru.logger.disable("ptlflow")
    disabled = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with (
            warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()),
            _without_faiss_of_cpu(),
        ):  # fmt: skip
            warnings.simplefilter("ignore")
            return library("ptlflow", INSTALL)
    finally:
        logging.disable(disabled)


@contextlib.contextmanager
def _without_faiss_of_cpu() -> Generator[None]:
    """Hides faiss-cpu: one model of ptlflow's asks any faiss that is there for a GPU's resources.

    Without faiss that model alone cannot run; with faiss-cpu no model can be imported.
    """
    faiss: Any = None
    with contextlib.suppress(ImportError):
        faiss = importlib.import_module("faiss")
    if faiss is not None and not hasattr(faiss, "StandardGpuResources"):
        sys.modules["faiss"] = None  # pyright: ignore[reportArgumentType]
    try:
        yield
    finally:
        if faiss is not None:
            sys.modules["faiss"] = faiss


def load(settings: Settings) -> Any:
    """The network with its weights."""
    from pipeline.backends.flow.correlation import quicken
    from pipeline.backends.flow.liteflownet_warp import mend

    choice = choose("flow", "ptlflow", settings)
    ptlflow = import_ptlflow()
    model = untrained(ptlflow, choice.model)
    if choice.kind == "pretrained":
        ptlflow.restore_model(model, str(file_of(choice, address)))  # it holds more than tensors
    else:
        fill(model, choice, address, trusted=settings.trusted)
    mend(model)
    quicken(model)
    return model


def address(choice: Choice) -> str:
    """Where ptlflow has the weights that `choice.weights` names, or those that are `pretrained`."""
    ptlflow = import_ptlflow()
    _check_name(ptlflow, choice.model)
    model = ptlflow.get_model_reference(choice.model)
    known: dict[str, str] = getattr(model, "pretrained_checkpoints", {})
    name = choice.weights
    if name == "pretrained":
        name = PRETRAINED if PRETRAINED in known else next(iter(known), name)
    if name not in known:
        names = ", ".join(sorted(known)) or "none"
        raise ReidError(
            f"flow.weights: {name}: no such file, nor ptlflow's weights of {choice.model} ({names})"
        )
    return known[name]


def untrained(ptlflow: Any, name: str) -> Any:
    """The network of a name with random weights, always the same."""
    import torch

    _check_name(ptlflow, name)
    with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.manual_seed(0)
        return ptlflow.get_model(name)


def _check_name(ptlflow: Any, name: str) -> None:
    if name not in ptlflow.get_model_names():
        near = difflib.get_close_matches(name, ptlflow.get_model_names(), 3)
        such = ", ".join(near or (DEFAULT_MODEL, "raft", "pwcnet"))
        raise ReidError(f"flow.model: ptlflow has no model `{name}` (such as {such})")
