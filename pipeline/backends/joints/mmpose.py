"""Joints by any top-down COCO network of mmpose; the person's box is the whole image.

`model` is a config's name in mmpose's model zoo, such as td-hm_hrnet-w32_8xb64-210e_coco-256x192,
or a config file. `weights: pretrained` are the model zoo's own for that config.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from pipeline.backends import settings
from pipeline.backends.checkpoints import library
from pipeline.backends.choices import Choice, choose, fill
from pipeline.backends.coco import COCO_NAMES, from_coco
from pipeline.backends.libraries import small_pose
from pipeline.backends.libraries.mmpose import INSTALL, import_mmpose
from reid.project.errors import ReidError


class Settings(settings.Network, Protocol):
    """What this backend takes from the stage's parameters."""

    @property
    def flip_test(self) -> bool: ...


def build(settings: Settings, device: str) -> Callable[[list[np.ndarray]], list[np.ndarray | None]]:
    """Load the network; see `pipeline.backends` for what is returned."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # mmengine's, about mmdet, which is not needed
        import_mmpose()
        library("mmengine.logging", INSTALL).MMLogger.get_current_instance().setLevel("ERROR")
        return Network(_load(settings, device))


class Network:
    """A top-down network of mmpose over whole images."""

    def __init__(self, model: Any):
        from mmengine.dataset import Compose

        self.model = model
        self.pipeline = Compose(model.cfg.test_dataloader.dataset.pipeline)

    def __call__(self, images: list[np.ndarray]) -> list[np.ndarray | None]:
        import torch
        from mmengine.dataset import pseudo_collate

        batch = pseudo_collate([self.pipeline(self._sample(image)) for image in images])
        with torch.inference_mode(), warnings.catch_warnings():
            for kind in (FutureWarning, DeprecationWarning):  # older names of torch and NumPy
                warnings.simplefilter("ignore", kind)
            return [_joints(result.pred_instances) for result in self.model.test_step(batch)]

    def _sample(self, image: np.ndarray) -> dict[str, Any]:
        height, width = image.shape[:2]
        whole = np.array([[0, 0, width, height]], np.float32)
        bgr = np.ascontiguousarray(image[..., ::-1])
        score = np.ones(1, np.float32)
        return {"img": bgr, "bbox": whole, "bbox_score": score, **self.model.dataset_meta}


def _joints(person: Any) -> np.ndarray:
    """The one person of an image, in pixels of the image, as (18, 3)."""
    xy, score = np.asarray(person.keypoints)[0, :17], np.asarray(person.keypoint_scores)[0, :17]
    return from_coco(np.concatenate([xy, score[:, None].clip(0, 1)], 1).astype(np.float32))


def untrained(name: str, device: str, *, flip_test: bool = False) -> Any:
    """The network of a config with random weights, always the same."""
    import torch
    from mmengine.config import Config

    import_mmpose()
    from mmengine.model import revert_sync_batchnorm
    from mmpose.apis import init_model

    path = _config(name)
    config = Config.fromfile(path)
    if name == small_pose.NAME:
        config = small_pose.adapt(config)
    if config.model.get("type") != "TopdownPoseEstimator":
        raise ReidError(f"joints.model: {path.stem} is not one of mmpose's top-down networks")
    if "init_cfg" in config.model.backbone:
        config.model.backbone.init_cfg = None  # all weights come from the checkpoint
    with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about where its own files lie
        torch.manual_seed(0)
        model: Any = init_model(
            config, None, device, cfg_options={"model.test_cfg.flip_test": flip_test}
        )
    names = [model.dataset_meta["keypoint_id2name"].get(index) for index in range(17)]
    if names != list(COCO_NAMES):
        raise ReidError(f"joints.model: {path.stem} does not give COCO's 17 joints")
    return revert_sync_batchnorm(model)


def _load(settings: Settings, device: str) -> Any:
    choice = choose("joints", "mmpose", settings)
    model = untrained(choice.model, device, flip_test=settings.flip_test)
    fill(model, choice, address, trusted=settings.trusted)
    return model.eval()


def _zoo() -> Path:
    """The configs that lie in the library's folder; it is not loaded for that."""
    spec = find_spec("mmpose")
    if spec is None or spec.origin is None:
        raise ReidError(f"mmpose is not usable here (it is not installed); {INSTALL}")
    return Path(spec.origin).parent / ".mim" / "configs"


def _config(name: str) -> Path:
    """A config file, or the one of this name in the installed model zoo."""
    if name.endswith(".py"):
        if not Path(name).is_file():
            raise ReidError(f"joints.model: {name}: no such config file")
        return Path(name)
    base = small_pose.BASE if name == small_pose.NAME else name
    configs = sorted((_zoo() / "body_2d_keypoint").rglob(f"{base}.py"))
    if not configs:
        raise ReidError(
            f"joints.model: mmpose's model zoo has no `{name}`; its configs lie in {_zoo()}"
        )
    return configs[0]


def address(choice: Choice) -> str:
    """The model zoo's weights of a config: its metafiles name them beside each other."""
    config = _config(choice.model)
    for metafile in sorted(config.parent.glob("*.yml")):
        for entry in metafile.read_text(encoding="utf-8").split("- Config:")[1:]:
            weights = re.search(r"^\s*Weights:\s*(\S+)", entry, re.MULTILINE)
            if Path(entry.split("\n", 1)[0].strip()).name == config.name and weights:
                return weights[1]
    raise ReidError(
        f"joints.model: mmpose's model zoo has no weights of {config.stem}; set `weights` to a path"
    )
