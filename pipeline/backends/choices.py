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

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, NamedTuple

from pipeline.backends.checkpoints import (
    download,
    file_hash,
    fill_model,
    load_state,
)
from pipeline.backends.libraries import small_pose, small_rcnn
from pipeline.backends.settings import Network
from reid.project.errors import ReidError

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


Address = Callable[[Choice], str]  # where a library offers its weights; loads the library


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


def file_of(choice: Choice, address: Address, root: Path = Path()) -> Path | None:
    """The file that a network is loaded from, fetched and checked; None for `random`.

    `address` asks the library where it offers its weights, which are not pinned yet.
    """
    if choice.kind == "random":
        return None
    if choice.kind == "pretrained":
        pin = pins(root).get(choice.key)
        path = download(pin.address if pin else address(choice))
        if pin:
            check(choice, path, pin)
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


def fill(model: Any, choice: Choice, address: Address, *, trusted: bool) -> None:
    """Load what was chosen into a torch model; with `random` it is left as it is."""
    path = file_of(choice, address)
    if path:
        fill_model(model, load_state(path, trusted=trusted), path)


def world_file(choice: Choice) -> Path:
    """Where this package has a backend's weights."""
    return WORLD / f"{choice.stage}_{choice.backend}.safetensors"


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


def check(choice: Choice, path: Path, pin: Pin) -> None:
    """`ReidError` where a download is not the pinned one; reads it whole."""
    sha256 = file_hash(path)
    if sha256 != pin.sha256:
        raise ReidError(
            f"{path}: has SHA-256 {sha256}, but {PINS} pins {pin.sha256} for `{choice.key}`; "
            "delete the file to fetch the pinned one, or that entry to pin the one that is there"
        )
