"""The mask backends with untrained networks; whose mask is taken; and how images are batched."""

import pickle
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType, SimpleNamespace

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.backends.checkpoints import load_state
from pipeline.backends.masks.person_mask import central_mask
from pipeline.backends.masks.torchvision import place
from pipeline.backends.sizes import by_size, fit_into, padded_size, scaled_size
from pipeline.stages.masks import Params
from pipeline.world.scenes.street import Params as Street
from reid.arrays.images import decode
from reid.project.errors import ReidError

torch = pytest.importorskip("torch")

SMALL = {"shortest_side": 64, "longest_side": 256}  # pixels: quick
CELLS = 28  # of a mask's side, before it is placed
PERSON_LOGIT = 8.0  # of an untrained network made to see people everywhere

# --- where a mask lies ----------------------------------------------------------------------------


@settings(deadline=None, max_examples=50)
@given(
    st.tuples(st.integers(8, 90), st.integers(8, 60)),
    st.sampled_from([1.0, 1.6, 3.2]),
    st.lists(st.floats(0, 1), min_size=4, max_size=4),
)
def test_a_mask_lies_where_its_box_does(size: tuple[int, int], ratio: float, drawn: list[float]):
    """To a fraction of a pixel, at any scale; half a cell from an edge it is half as probable."""
    scaled = round(size[0] * ratio), round(size[1] * ratio)
    (x1, x2), (y1, y2) = sorted(drawn[:2]), sorted(drawn[2:])
    box = torch.tensor([[x1, y1, x2 + 0.1, y2 + 0.1]]) * torch.tensor([*scaled[::-1]] * 2)
    along = []
    for axis, (low, high) in enumerate(box[0].numpy().reshape(2, 2).T[::-1]):
        centres = (np.arange(size[axis]) + 0.5) * scaled[axis] / size[axis]
        cells = np.minimum(centres - low, high - centres) / (high - low) * CELLS
        along.append((cells + 0.5).clip(0, 1))
    placed = place(torch.ones(1, 1, CELLS, CELLS), box, scaled, size)[0]
    np.testing.assert_allclose(placed, np.outer(*along), atol=1e-3)
    nobody = place(torch.ones(0, 1, CELLS, CELLS), box[:0], scaled, size)
    assert nobody.shape == (0, *size)


def test_a_small_mask_loses_less_than_the_library_s_whole_pixels_do():
    from torchvision.models.detection.roi_heads import paste_masks_in_image

    true = cv2.ellipse(np.zeros((80, 40), np.uint8), (19, 41), (9, 31), 8, 0, 360, 1, -1) > 0
    box = torch.tensor([[*cv2.boundingRect(true.astype(np.uint8))]], dtype=torch.float32)
    box[:, 2:] += box[:, :2]
    left, top, right, bottom = box[0].int().tolist()
    exact = cv2.resize(true[top:bottom, left:right].astype(np.float32), (56, 56))
    cells = torch.from_numpy(exact)[None, None]

    def overlap(found: torch.Tensor) -> float:
        mask = found.numpy() >= 0.5
        return (mask & true).sum() / (mask | true).sum()

    assert overlap(place(cells, box, (80, 40), (80, 40))[0]) > 0.99
    assert overlap(place(cells, 3.2 * box, (256, 128), (80, 40))[0]) > 0.99
    assert overlap(paste_masks_in_image(cells, box, (80, 40))[0, 0]) < 0.97


# --- whose mask ----------------------------------------------------------------------------------


def region(rows, columns, height=20, width=16):
    mask = np.zeros((height, width), bool)
    mask[slice(*rows), slice(*columns)] = True
    return mask


@pytest.mark.parametrize(
    ("regions", "chosen"),
    [
        pytest.param([((0, 20), (4, 12)), ((5, 9), (6, 9))], 0, id="large before small"),
        pytest.param([((0, 20), (0, 5)), ((1, 19), (5, 11))], 1, id="middle before side"),
        pytest.param([((0, 20), (0, 16)), ((2, 20), (5, 11))], 1, id="not all of the image"),
        pytest.param([((0, 0), (0, 0)), ((0, 5), (0, 2))], 1, id="empty after one at the side"),
        pytest.param([((0, 5), (0, 2)), ((0, 9), (14, 16))], 1, id="at the sides the largest"),
        pytest.param([((0, 9), (4, 12)), ((11, 20), (4, 12))], 0, id="of equals the first"),
    ],
)
def test_the_crops_own_person(regions, chosen):
    masks = np.stack([region(*r) for r in regions])
    result = central_mask(masks, np.arange(len(masks)) / 10)
    assert result is not None
    assert result.score == chosen / 10
    np.testing.assert_array_equal(result.mask, masks[chosen])


def test_who_stands_in_front_has_the_pixels_though_the_boxes_are_alike():
    front = region((2, 20), (5, 11))
    behind = region((1, 20), (4, 12)) & ~region((0, 20), (5, 11))  # slivers left and right
    result = central_mask(np.stack([behind, front]), [0.9, 0.8])
    assert result is not None
    assert result.score == 0.8


def test_nobody_has_no_mask():
    assert central_mask(np.zeros((0, 20, 16), bool), []) is None


# --- sizes ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("size", "scaled"),
    [
        pytest.param((128, 64), (512, 256), id="Market-1501"),
        pytest.param((64, 128), (256, 512), id="lying"),
        pytest.param((1000, 100), (1024, 102), id="the longer side is the limit"),
        pytest.param((5000, 1), (1024, 1), id="never nothing"),
    ],
)
def test_scaled_size(size, scaled):
    assert scaled_size(size, 256, 1024) == scaled


def test_fit_into_keeps_proportions():
    canvas, scale = fit_into(np.full((50, 40, 3), 9, np.uint8), 128, 64)
    assert (canvas.shape, scale) == ((128, 64, 3), (1.6, 1.6))
    assert (canvas[:80] == 9).all()
    assert not canvas[80:].any()


def test_images_are_grouped_by_size_and_come_back_in_order():
    shapes = [(40, 20), (33, 20), (64, 32), (20, 40), (39, 20)]
    calls = []

    def run(images, size):
        calls.append((size, [image.shape[:2] for image in images]))
        return [image.shape[0] for image in images]

    images = [np.zeros((*shape, 3), np.uint8) for shape in shapes]
    assert by_size(images, lambda size: padded_size(size, 32), run) == [40, 33, 64, 20, 39]
    assert calls == [
        ((64, 32), [(40, 20), (33, 20), (64, 32), (39, 20)]),
        ((32, 64), [(20, 40)]),
    ]


@settings(deadline=None, max_examples=40)
@given(st.integers(10, 200), st.integers(10, 200))
def test_torchvision_scales_images_to_the_sizes_that_they_are_grouped_by(height, width):
    transforms = pytest.importorskip("torchvision.models.detection.transform")
    transform = transforms.GeneralizedRCNNTransform(32, 128, [0.0] * 3, [1.0] * 3)
    image, _ = transform.resize(torch.zeros(3, height, width))
    assert tuple(image.shape[1:]) == scaled_size((height, width), 32, 128)


# --- checkpoints ---------------------------------------------------------------------------------


def test_a_pickle_of_arrays_loads_without_running_code(tmp_path):
    arrays = {"a.weight": np.arange(6, dtype=np.float32).reshape(2, 3), "b": np.float32(2) * 1}
    zoo = {"model": {**arrays, "b": np.array(2.0)}, "__author__": "a model zoo"}
    (tmp_path / "zoo.pkl").write_bytes(pickle.dumps(zoo, protocol=2))
    state = load_state(tmp_path / "zoo.pkl", trusted=False)
    assert state["a.weight"].tolist() == [[0, 1, 2], [3, 4, 5]]
    assert state["b"].item() == 2
    old = pickle.dumps(zoo, protocol=2).replace(b"numpy._core.", b"numpy.core.")  # NumPy 1's
    (tmp_path / "old.pkl").write_bytes(old)
    assert load_state(tmp_path / "old.pkl", trusted=False).keys() == state.keys()
    for name, value in (("code", subprocess.Popen), ("calls", np.testing.assert_equal)):
        path = tmp_path / f"{name}.pkl"
        path.write_bytes(pickle.dumps({"model": {**arrays, "c": value}}))
        with pytest.raises(ReidError, match="trusted: true"):
            load_state(path, trusted=False)
        assert "a.weight" in load_state(path, trusted=True)
    for name, data in (("cut", pickle.dumps(zoo)[:-30]), ("empty", b""), ("junk", b"PK\3\4junk")):
        (tmp_path / f"{name}.pkl").write_bytes(data)
        with pytest.raises(ReidError, match=f"{name}.pkl"):
            load_state(tmp_path / f"{name}.pkl", trusted=False)


def test_a_checkpoint_may_call_its_tensors_model(tmp_path):
    state = torch.nn.Linear(2, 3).state_dict()
    torch.save({"model": state, "iteration": 3}, tmp_path / "trained.pth")
    assert load_state(tmp_path / "trained.pth", trusted=False).keys() == state.keys()


# --- networks ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def people():
    """Crops of a photograph and rendered ones, (H, W, 3) RGB, of several sizes."""
    spec = find_spec("ultralytics")
    if spec is None or spec.origin is None:
        pytest.skip("ultralytics, whose photograph this is, is not installed")
    bus = cv2.imread(str(Path(spec.origin).parent / "assets" / "bus.jpg"))[..., ::-1]
    street = Street(train_identities=1, test_identities=1, cameras=2, images_min=2, images_max=2)
    rendered = [sample for sample, _ in street.render()][:2]
    crops = [bus[400:900, 50:240], bus[390:880, 670:809]]
    return [*crops, *(decode(sample.encoded) for sample in rendered)]


def check(network, people):
    """Masks of each image's size, and a batch that equals its images one by one."""
    together = network(people)
    for image, result in zip(people, together, strict=True):
        (alone,) = network([image])
        assert (alone is None) == (result is None)
        if result is None or alone is None:  # an untrained network may see nobody
            continue
        assert (result.mask.shape, result.mask.dtype) == (image.shape[:2], bool)
        assert 0 <= result.score <= 1
        assert (alone.mask != result.mask).mean() < 1e-3
        assert alone.score == pytest.approx(result.score, abs=1e-4)
    assert sum(result is not None and result.mask.any() for result in together) >= 2


def sees_people(state, person, prefix="roi_heads.box_predictor"):
    """An untrained R-CNN's tensors, made to call every region that it looks at a person."""
    changed = {f"{prefix}.{name}": torch.zeros_like(state[f"{prefix}.{name}"]) for name in (
        "cls_score.weight", "cls_score.bias", "bbox_pred.weight", "bbox_pred.bias")}  # fmt: skip
    changed[f"{prefix}.cls_score.bias"][person] = PERSON_LOGIT
    return {**state, **changed}


@pytest.mark.slow
@pytest.mark.parametrize(
    "model", ["maskrcnn_resnet50_fpn", "maskrcnn_resnet50_fpn_v2", "maskrcnn_small"]
)
def test_torchvision(people, tmp_path, model):
    from pipeline.backends.libraries.torchvision_rcnn import PERSON, load_rcnn
    from pipeline.backends.masks import torchvision as masks_torchvision

    params = Params(model=model, weights="random", **SMALL)
    state = load_rcnn("masks", params).state_dict()
    path = tmp_path / "w.pth"
    torch.save(sees_people(state, PERSON), path)
    params = params.model_copy(update={"weights": str(path)})
    check(masks_torchvision.build(params, "cpu"), people)
    strict = masks_torchvision.build(params.model_copy(update={"person_score": 0.9999}), "cpu")
    assert strict(people[:1]) == [None]


def test_torchvision_takes_the_central_person_above_the_threshold():
    from pipeline.backends.masks.torchvision import _mask

    soft = torch.zeros(3, 1, 20, 16)
    soft[0, 0, :, :] = 0.9  # the background of another label
    soft[1, 0, 2:18, 0:3] = 0.8
    soft[2, 0, 2:18, 5:11] = torch.tensor([0.2, 0.5, 0.7, 0.7, 0.5, 0.2])
    result = {"labels": torch.tensor([3, 1, 1]), "masks": soft,
             "scores": torch.tensor([0.9, 0.8, 0.75]),
             "boxes": torch.tensor([[0.0, 0, 16, 20]] * 3)}  # fmt: skip
    for threshold, columns in ((0.5, (6, 10)), (0.6, (7, 9)), (0.1, (5, 11))):
        mask = _mask(result, (20, 16), (20, 16), threshold)
        assert mask is not None
        assert mask.score == 0.75
        np.testing.assert_array_equal(mask.mask, region((2, 18), columns))
    nobody = {key: value[:1] for key, value in result.items()}
    assert _mask(nobody, (20, 16), (20, 16), 0.5) is None


def test_torchvision_names_its_networks():
    from pipeline.backends.masks import torchvision as masks_torchvision

    message = (
        "no `resnet18` .it has maskrcnn_resnet50_fpn, maskrcnn_resnet50_fpn_v2; maskrcnn_small"
    )
    with pytest.raises(ReidError, match=message):
        masks_torchvision.build(Params(model="resnet18", weights="random"), "cpu")


@pytest.mark.slow
def test_ultralytics(people, tmp_path):
    from safetensors.torch import save_file

    from pipeline.backends.libraries.ultralytics import untrained
    from pipeline.backends.masks import ultralytics as masks_ultralytics

    threads = torch.get_num_threads()
    yolo = untrained("yolo11n-seg", "segment")
    state = yolo.model.state_dict()
    for scale in range(3):  # every region is a person, whose mask fills its box
        state[f"model.23.cv3.{scale}.2.bias"][0] += PERSON_LOGIT
        state[f"model.23.cv4.{scale}.2.bias"] += 1
    state["model.23.proto.cv3.bn.bias"] += 1
    save_file(state, tmp_path / "w.safetensors")
    weights = str(tmp_path / "w.safetensors")
    params = Params(backend="ultralytics", weights=weights, person_score=0.01, **SMALL)
    network = masks_ultralytics.build(params, "cpu")
    check(network, people)
    assert torch.get_num_threads() == threads
    strict = masks_ultralytics.build(params.model_copy(update={"person_score": 0.9999}), "cpu")
    assert strict(people[:1]) == [None]
    with pytest.raises(ReidError, match="such as yolo11n-seg"):
        masks_ultralytics.build(Params(model="nope", weights="random"), "cpu")
    with pytest.raises(ReidError, match=r"ultralytics has 0\.5 built in"):
        masks_ultralytics.build(params.model_copy(update={"mask_threshold": 0.4}), "cpu")


def test_ultralytics_masks_are_of_the_central_person():
    from pipeline.backends.masks.ultralytics import _mask, _person

    masks = np.stack([region((0, 20), (0, 3)), region((0, 20), (5, 11))])
    boxes = SimpleNamespace(conf=torch.tensor([0.9, 0.5]))
    data = SimpleNamespace(data=torch.from_numpy(masks).byte())
    result = _mask(SimpleNamespace(masks=data, boxes=boxes))
    assert result is not None
    assert result.score == 0.5
    np.testing.assert_array_equal(result.mask, masks[1])
    assert _mask(SimpleNamespace(masks=None, boxes=boxes)) is None
    assert _person({0: "bicycle", 1: "person"}) == 1
    assert _person({0: "pedestrian", 1: "car"}) == 0


def test_detectron2_that_is_not_installed_is_one_line():
    if find_spec("detectron2") is not None:
        pytest.skip("it is installed")
    from pipeline.backends.masks import detectron2 as masks_detectron2

    with pytest.raises(ReidError, match=r"detectron2\S* is not usable.*pip install 'git") as caught:
        masks_detectron2.build(Params(backend="detectron2", weights="random"), "cpu")
    assert "\n" not in str(caught.value)


@pytest.mark.slow
@pytest.mark.parametrize("ending", [".yaml", ".py"])
def test_detectron2(people, tmp_path, ending):
    if find_spec("detectron2") is None:
        pytest.skip("detectron2 is not installed")
    from pipeline.backends.masks import detectron2 as masks_detectron2

    name = f"COCO-InstanceSegmentation/mask_rcnn_R_50_FPN_1x{ending}"
    params = Params(backend="detectron2", model=name, weights="random", **SMALL)
    untrained = masks_detectron2.build(params, "cpu")
    state = sees_people(untrained.model.state_dict(), untrained.person)
    arrays = {key: value.numpy() for key, value in state.items()}
    (tmp_path / "w.pkl").write_bytes(pickle.dumps({"model": arrays, "__author__": "a test"}))
    params = params.model_copy(update={"weights": str(tmp_path / "w.pkl")})
    check(masks_detectron2.build(params, "cpu"), people)
    strict = masks_detectron2.build(params.model_copy(update={"person_score": 0.999}), "cpu")
    assert strict(people[:1]) == [None]
    for model, message in (
        ("nope.yaml", "nope.yaml not available"),
        ("COCO-Detection/faster_rcnn_R_50_FPN_1x.yaml", "gives no masks"),
        ("LVISv0.5-InstanceSegmentation/mask_rcnn_R_50_FPN_1x.yaml", "no class `person`"),
    ):
        with pytest.raises(ReidError, match=message):
            masks_detectron2.build(Params(model=model, weights="random"), "cpu")


class Detections:
    """What the adapter takes of detectron2's `Instances`: fields, and a choice by a mask."""

    def __init__(self, **fields):
        self.__dict__.update(fields)

    def __getitem__(self, chosen):
        return Detections(**{name: value[chosen] for name, value in vars(self).items()})


@pytest.mark.parametrize(("order", "first"), [("BGR", 30), ("RGB", 10)])
def test_detectron2_gets_scaled_images_in_its_order_of_colours(monkeypatch, order, first):
    """With a stand-in for the library: `test_detectron2` is with the library itself."""
    from pipeline.backends.masks.detectron2 import Network

    taken = []

    def inference(inputs, do_postprocess):
        assert not do_postprocess
        taken.append([tuple(each["image"].shape) for each in inputs])
        assert all((each["image"][0] == first).all() for each in inputs)
        labels, scores = torch.tensor([0, 7, 7]), torch.tensor([0.9, 0.8, 0.7])
        return [Detections(pred_classes=labels, scores=scores) for _ in inputs]

    def postprocess(result, height, width, threshold):
        assert threshold == 0.3
        result.pred_masks = torch.zeros(len(result.scores), height, width, dtype=torch.bool)
        result.pred_masks[1, :, width // 2] = True  # of the two people
        return result

    for name in ("detectron2", "detectron2.modeling", "detectron2.modeling.postprocessing"):
        module = ModuleType(name)
        module.__dict__["detector_postprocess"] = postprocess
        monkeypatch.setitem(sys.modules, name, module)
    backbone = SimpleNamespace(size_divisibility=32)
    model = SimpleNamespace(backbone=backbone, input_format=order, inference=inference)
    network = Network(model, 7, Params(mask_threshold=0.3, shortest_side=32, longest_side=64))
    sizes = [(20, 10), (16, 8), (10, 20)]
    images = [np.full((*size, 3), (10, 20, 30), np.uint8) for size in sizes]
    for result, size in zip(network(images), sizes, strict=True):
        assert result is not None
        assert result.mask.shape == size
        assert result.mask.sum() == size[0]
        assert result.score == pytest.approx(0.7)
    assert taken == [[(3, 64, 32), (3, 64, 32)], [(3, 32, 64)]]
