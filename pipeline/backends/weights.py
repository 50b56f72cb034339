"""Which weights each network backend uses, and what identifies them.

`weights` of a stage is one word

    world       this package's own, fitted to the rendered world; four backends have some
    pretrained  the library's own download; of ptlflow `things`, `sintel`, `kitti` name others
    random      none: an untrained network, always the same
    PATH        a file; from the project's root if it is not absolute

A shard's key has the SHA-256 of the file. That of a download is pinned in data/weights.json when
the file is first there; from then on a plan needs neither the network nor the library, and a build
takes no other file.
"""

from __future__ import annotations

import fcntl
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, NamedTuple

from pipeline.backends.checkpoints import (
    download,
    downloads_folder,
    file_hash,
    file_name,
    fill_model,
    load_state,
)
from pipeline.backends.libraries import small_pose, small_rcnn
from pipeline.backends.settings import Network
from reid.project.errors import ReidError
from reid.project.layout import as_json, write_atomically

WORLD = Path(__file__).with_name("world_weights")
PINS = Path("data", "weights.json")  # below the project's root
Kind = Literal["world", "pretrained", "random", "path"]


class Backend(NamedTuple):
    """What is known of a network backend without its library."""

    library: str
    model: str  # what it runs where `model` is ''
    world: str = ""  # the model that the world's weights are of; '' = it has none


NETWORKS = {
    "masks_torchvision": Backend("torchvision", "maskrcnn_resnet50_fpn", small_rcnn.NAME),
    "masks_detectron2": Backend(
        "detectron2", "COCO-InstanceSegmentation/mask_rcnn_R_50_FPN_3x.yaml"
    ),
    "masks_ultralytics": Backend("ultralytics", "yolo11n-seg"),
    "joints_mmpose": Backend("mmpose", "rtmpose-m_8xb256-420e_coco-256x192", small_pose.NAME),
    "joints_ultralytics": Backend("ultralytics", "yolo11n-pose"),
    "joints_torchvision": Backend("torchvision", "keypointrcnn_resnet50_fpn"),
    "crops_ultralytics": Backend("ultralytics", "yolo11n", "yolo11n"),
    "flow_ptlflow": Backend("ptlflow", "liteflownet", "liteflownet"),
}


class Choice(NamedTuple):
    """The network and the weights of one build."""

    stage: str
    backend: str
    model: str
    weights: str  # as the parameters have it

    @property
    def network(self) -> Backend:
        return NETWORKS[f"{self.stage}_{self.backend}"]

    @property
    def kind(self) -> Kind:
        if self.weights in ("world", "pretrained", "random"):
            return self.weights
        word = Path(self.weights).name == self.weights and not Path(self.weights).suffix
        return "pretrained" if word and self.backend == "ptlflow" else "path"

    @property
    def key(self) -> str:
        """Its name in data/weights.json."""
        named = [] if self.weights == "pretrained" else [self.weights]
        return " ".join([self.stage, self.backend, self.model, *named])


class Pin(NamedTuple):
    """What is known of a library's download since it was first there."""

    address: str
    file: str  # its name in `downloads_folder`
    bytes: int
    sha256: str


def choose(stage: str, backend: str, settings: Network) -> Choice:
    """The network and weights that `settings` ask for; an error where there are none of `world`."""
    network = NETWORKS[f"{stage}_{backend}"]
    if settings.weights != "world":
        return Choice(stage, backend, settings.model or network.model, settings.weights)
    if not network.world:
        have = ", ".join(name for name, other in NETWORKS.items() if other.world)
        raise ReidError(
            f"{stage}.weights: no `world` weights of backend {backend} (there are some of {have})"
        )
    if settings.model not in ("", network.world):
        raise ReidError(
            f"{stage}.model: the `world` weights are of {network.world}, not of {settings.model}; "
            "leave `model` away"
        )
    return Choice(stage, backend, network.world, "world")


def identity(stage: str, params: Any, root: Path) -> str:
    """Which weights decide a network's output; '' where a backend runs no network.

    That is a hash of the weights, or `random`. A download that is neither pinned nor there is
    fetched.
    """
    if f"{stage}_{params.backend}" not in NETWORKS:
        return ""
    choice = choose(stage, params.backend, params)
    if choice.kind == "pretrained":
        return _pinned(choice, root).sha256
    path = file_of(choice, root)
    return file_hash(path) if path else "random"


def file_of(choice: Choice, root: Path = Path()) -> Path | None:
    """The file that a network is loaded from, fetched and checked; None for `random`."""
    if choice.kind == "random":
        return None
    if choice.kind == "pretrained":
        pin = pins(root).get(choice.key)
        path = download(pin.address if pin else address_of(choice))
        if pin:
            _check(choice, path, pin)
        return path
    path = world_file(choice) if choice.kind == "world" else root / choice.weights
    if path.is_file():
        return path
    if choice.kind == "world":
        raise ReidError(
            f"{path}: not there, so this installation has no `world` weights of {choice.stage} "
            f"{choice.backend}; `reid fit-backend {choice.stage}_{choice.backend}` makes some"
        )
    raise ReidError(
        f"{path}: no such weights file ({choice.stage}.weights is `world`, `pretrained`, `random` "
        "or a path)"
    )


def fill(model: Any, choice: Choice, *, trusted: bool) -> None:
    """Load what was chosen into a torch model; with `random` it is left as it is."""
    path = file_of(choice)
    if path:
        fill_model(model, load_state(path, trusted=trusted), path)


def world_file(choice: Choice) -> Path:
    """Where this package has a backend's weights."""
    return WORLD / f"{choice.stage}_{choice.backend}.safetensors"


def address_of(choice: Choice) -> str:
    """Where the library offers its weights; loads the library."""
    return ADDRESSES[choice.network.library](choice)


def _torchvision(choice: Choice) -> str:
    from pipeline.backends.libraries import torchvision_rcnn

    return torchvision_rcnn.address(choice)


def _detectron2(choice: Choice) -> str:
    from pipeline.backends.masks import detectron2

    return detectron2.address(choice)


def _ultralytics(choice: Choice) -> str:
    from pipeline.backends.libraries import ultralytics

    return ultralytics.address(choice)


def _mmpose(choice: Choice) -> str:
    from pipeline.backends.joints import mmpose

    return mmpose.address(choice)


def _ptlflow(choice: Choice) -> str:
    from pipeline.backends.flow import ptlflow

    return ptlflow.address(choice)


ADDRESSES: dict[str, Callable[[Choice], str]] = {  # by library
    "torchvision": _torchvision,
    "detectron2": _detectron2,
    "ultralytics": _ultralytics,
    "mmpose": _mmpose,
    "ptlflow": _ptlflow,
}


# --- pins ----------------------------------------------------------------------------------------


def pins(root: Path) -> dict[str, Pin]:
    """What is pinned in a project, by `Choice.key`."""
    path = root / PINS
    try:
        return {key: Pin(**values) for key, values in json.loads(path.read_text("utf-8")).items()}
    except FileNotFoundError:
        return {}
    except (ValueError, TypeError, AttributeError, OSError) as error:
        raise ReidError(
            f"{path}: not readable ({' '.join(str(error).split())}); mend it, or delete it to pin "
            "the weights that are there"
        ) from None


def _pinned(choice: Choice, root: Path) -> Pin:
    """The pin of a download, which is checked if it is there, and pinned if it was not yet."""
    pin = pins(root).get(choice.key)
    if pin is None:
        return _pin(choice, root)
    path = downloads_folder() / pin.file
    if path.is_file():
        _check(choice, path, pin)
    return pin


def _pin(choice: Choice, root: Path) -> Pin:
    """Fetch a download unless it is there, and write down what it is."""
    address = address_of(choice)
    path = download(address)
    new = Pin(address, file_name(address), path.stat().st_size, file_hash(path))
    with _locked(root):
        known = pins(root)
        pin = known.setdefault(choice.key, new)
        if pin is new:
            write_atomically(root / PINS, as_json({k: p._asdict() for k, p in known.items()}))
    if pin is not new:  # another process was first
        _check(choice, path, pin)
    return pin


@contextmanager
def _locked(root: Path) -> Iterator[None]:
    """One at a time reads and writes the pins."""
    path = root / ".work" / "locks" / "weights"
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _check(choice: Choice, path: Path, pin: Pin) -> None:
    """An error where a file is not the pinned one."""
    sha256 = file_hash(path)
    if sha256 != pin.sha256:
        raise ReidError(
            f"{path}: has SHA-256 {sha256}, but {PINS} pins {pin.sha256} for `{choice.key}`; "
            "delete the file to fetch the pinned one again, or that entry to pin the file there is"
        )
