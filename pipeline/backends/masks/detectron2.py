"""Masks by any instance segmentation network of detectron2; the crop's own person is taken.

`model` is a config's name in detectron2's model zoo, such as
COCO-InstanceSegmentation/mask_rcnn_R_50_FPN_3x.yaml. `weights: pretrained` are the model zoo's own
for that config. The user installs the library, which is not on PyPI.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np

from pipeline.backends.checkpoints import library
from pipeline.backends.choices import NETWORKS, Choice, choose, fill
from pipeline.backends.masks.person_mask import PersonMask, central_mask
from pipeline.backends.settings import Masks
from pipeline.backends.sizes import Size, by_size, padded_size, scaled_size
from reid.arrays.images import resize
from reid.project.errors import ReidError

DEFAULT_MODEL = NETWORKS["masks_detectron2"].model
DETECTIONS = 8  # kept an image, of all classes
INSTALL = "`pip install 'git+https://github.com/facebookresearch/detectron2.git'`"


def build(settings: Masks, device: str) -> Callable[[list[np.ndarray]], list[PersonMask | None]]:
    """Load the network; see `pipeline.backends` for what is returned."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the library's, about older names in torch and setuptools
        return Network(*_load(settings, device), settings)


class Network:
    """An R-CNN of detectron2 with masks; `person` is the index of that class."""

    def __init__(self, model: Any, person: int, settings: Masks):
        self.model, self.person, self.settings = model, person, settings
        self.sides = settings.shortest_side, settings.longest_side

    def __call__(self, images: list[np.ndarray]) -> list[PersonMask | None]:
        return by_size(images, self._padded, self._run)

    def _padded(self, size: Size) -> Size:
        stride = self.model.backbone.size_divisibility or 1  # 0: batches are padded to the largest
        return padded_size(scaled_size(size, *self.sides), stride)

    def _run(self, images: list[np.ndarray], _: Size) -> list[PersonMask | None]:
        import torch

        with torch.inference_mode(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            results = self.model.inference([self._input(i) for i in images], do_postprocess=False)
            if isinstance(results, tuple):  # a panoptic network's, of which the first are things
                results = results[0]
            return [self._mask(r, image) for r, image in zip(results, images, strict=True)]

    def _input(self, image: np.ndarray) -> dict[str, Any]:
        import torch

        scaled = resize(image, *scaled_size((image.shape[0], image.shape[1]), *self.sides))
        channels = scaled if self.model.input_format == "RGB" else scaled[..., ::-1]
        tensor = torch.from_numpy(np.ascontiguousarray(channels.transpose(2, 0, 1)))
        return {"image": tensor.float()}  # (3, H, W), 0 to 255; the model moves it to its device

    def _mask(self, result: Any, image: np.ndarray) -> PersonMask | None:
        people = result[result.pred_classes == self.person]
        paste = _part("modeling.postprocessing").detector_postprocess
        pasted = paste(people, *image.shape[:2], self.settings.mask_threshold)
        return central_mask(pasted.pred_masks.cpu().numpy(), pasted.scores.cpu().numpy())


def _load(settings: Masks, device: str) -> tuple[Any, int]:
    """The network, untrained or with the weights asked for, and the index of its class person."""
    import torch

    choice = choose("masks", "detectron2", settings)
    name = choice.model
    try:
        config = _part("model_zoo").get_config(name)
    except RuntimeError as error:
        raise ReidError(f"masks.model: {error} (such as {DEFAULT_MODEL})") from None
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        if name.endswith(".py"):
            model = _part("config").instantiate(config.model).to(device)
            names = config.dataloader.test.dataset.names
        else:
            config.MODEL.DEVICE = device
            model = _part("modeling").build_model(config)
            names = config.DATASETS.TEST[0]
    if not getattr(getattr(model, "roi_heads", None), "mask_on", False):
        raise ReidError(f"masks.model: {name} gives no masks (such as {DEFAULT_MODEL})")
    person = _person(names, name)
    fill(model, choice, address, trusted=settings.trusted)
    last = model.roi_heads.box_predictor  # a list in a cascade
    predictors: list[Any] = [*last] if isinstance(last, torch.nn.ModuleList) else [last]
    for predictor in predictors:
        predictor.test_score_thresh = settings.person_score
        predictor.test_topk_per_image = DETECTIONS
    return model.eval(), person


def address(choice: Choice) -> str:
    """Where detectron2's model zoo has the weights of a config."""
    try:
        return _part("model_zoo").get_checkpoint_url(choice.model)
    except RuntimeError as error:
        raise ReidError(f"masks.weights: {error}; set `weights` to a path") from None


def _person(data_set: str, name: str) -> int:
    catalog = _part("data").MetadataCatalog
    classes = list(catalog.get(data_set).get("thing_classes", ()))
    if "person" not in classes:
        raise ReidError(f"masks.model: {name} has no class `person` (such as {DEFAULT_MODEL})")
    return classes.index("person")


def _part(name: str) -> ModuleType:
    return library(f"detectron2.{name}", INSTALL)
