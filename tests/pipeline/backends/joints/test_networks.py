"""The joint backends with untrained networks, and COCO's joints as OpenPose's."""

import os
import subprocess
import sys
import textwrap
from importlib.util import find_spec
from pathlib import Path

import cv2
import numpy as np
import pytest

from pipeline.backends.checkpoints import file_hash, fill_model, library, load_state
from pipeline.backends.coco import (
    BODY_25_NAMES,
    COCO_NAMES,
    central_person,
    from_body_25,
    from_coco,
    to_openpose,
)
from pipeline.stages.joints import Params
from reid.arrays.poses import JOINT_NAMES
from reid.project.errors import ReidError

torch = pytest.importorskip("torch")

# --- orders of joints ----------------------------------------------------------------------------


@pytest.mark.parametrize("name", [n for n in JOINT_NAMES if n != "neck"])
def test_each_coco_joint_keeps_its_name(name):
    joints = np.zeros((17, 3), np.float32)
    joints[COCO_NAMES.index(name)] = 3, 4, 0.5
    estimated = from_coco(joints)
    assert estimated[JOINT_NAMES.index(name)].tolist() == [3, 4, 0.5]
    others = [i for i, n in enumerate(JOINT_NAMES) if n not in (name, "neck")]
    assert not estimated[others].any()


def test_neck_is_mid_shoulders_with_the_lower_confidence():
    joints = np.zeros((2, 17, 3), np.float32)
    joints[1, COCO_NAMES.index("left_shoulder")] = 10, 20, 0.9
    joints[1, COCO_NAMES.index("right_shoulder")] = 30, 24, 0.4
    estimated = from_coco(joints)  # a batch
    assert estimated[1, JOINT_NAMES.index("neck")] == pytest.approx([20, 22, 0.4])


def test_orders_are_those_of_coco_and_openpose():
    assert len(set(COCO_NAMES)) == 17
    assert (COCO_NAMES[0], COCO_NAMES[5], COCO_NAMES[16]) == (
        "nose",
        "left_shoulder",
        "right_ankle",
    )
    assert len(set(BODY_25_NAMES)) == 25
    numbered = np.arange(75.0).reshape(25, 3)
    assert from_body_25(numbered)[JOINT_NAMES.index("right_hip"), 0] == 27  # 9, after the mid-hip
    assert from_body_25(numbered)[JOINT_NAMES.index("left_ear"), 0] == 54


def test_other_counts_of_numbers_are_refused():
    with pytest.raises(ValueError, match="52 numbers"):
        to_openpose(np.zeros(52))


@pytest.mark.parametrize(
    ("boxes", "chosen"),
    [
        pytest.param([(0, 0, 100, 200), (30, 50, 60, 120)], 0, id="large before small"),
        pytest.param([(0, 0, 40, 200), (30, 10, 70, 190)], 1, id="middle before side"),
        pytest.param([(90, 0, 99, 200), (-50, 0, 10, 9)], 0, id="of two at the side the first"),
        pytest.param([(-300, -300, 400, 500), (20, 0, 80, 200)], 1, id="not far beyond the image"),
    ],
)
def test_central_person(boxes, chosen):
    assert central_person(np.array(boxes, float), height=200, width=100) == chosen


# --- checkpoints ---------------------------------------------------------------------------------


def test_checkpoints_load_as_tensors_or_are_refused(tmp_path):
    model = torch.nn.Linear(2, 3)
    state = model.state_dict()
    torch.save({"state_dict": state, "meta": {"epoch": 3}}, tmp_path / "plain.pth")
    torch.save({"state_dict": state, "meta": subprocess.Popen}, tmp_path / "code.pth")
    (tmp_path / "no.pth").write_bytes(b"no checkpoint")
    assert load_state(tmp_path / "plain.pth", trusted=False).keys() == state.keys()
    for name in ("code.pth", "no.pth"):
        with pytest.raises(ReidError, match="trusted: true"):
            load_state(tmp_path / name, trusted=False)
    assert load_state(tmp_path / "code.pth", trusted=True).keys() == state.keys()
    with pytest.raises(ReidError, match="no such weights file"):
        load_state(tmp_path / "missing.pth", trusted=False)


def test_safetensors_load(tmp_path):
    from safetensors.torch import save_file

    save_file({"weight": torch.ones(3, 2)}, tmp_path / "w.safetensors")
    state = load_state(tmp_path / "w.safetensors", trusted=False)
    assert state["weight"].sum() == 6
    with pytest.raises(ReidError, match="no bias, 1 in all"):
        fill_model(torch.nn.Linear(2, 3), state, "w.safetensors")
    with pytest.raises(ReidError, match="weight of another shape"):
        fill_model(torch.nn.Linear(5, 3, bias=False), state, "w.safetensors")
    model = torch.nn.Linear(2, 3, bias=False)
    fill_model(model, {**state, "head.extra": torch.ones(1)}, "w.safetensors")
    assert model.weight.sum() == 6
    assert len(file_hash(tmp_path / "w.safetensors")) == 64
    (tmp_path / "cut.safetensors").write_bytes((tmp_path / "w.safetensors").read_bytes()[:-4])
    with pytest.raises(ReidError, match="not readable as safetensors"):
        load_state(tmp_path / "cut.safetensors", trusted=False)


def test_a_missing_library_says_what_to_install():
    with pytest.raises(ReidError, match=r"no_such_library is not usable.*pip install it"):
        library("no_such_library", "`pip install it`")


# --- networks ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def people():
    """Five real crops of different sizes, (H, W, 3) RGB, the last one the third at half size."""
    library_folder = find_spec("ultralytics")
    if library_folder is None or library_folder.origin is None:
        pytest.skip("ultralytics, whose photograph this is, is not installed")
    bus = cv2.imread(str(Path(library_folder.origin).parent / "assets" / "bus.jpg"))[..., ::-1]
    crops = [bus[400:900, 50:240], bus[405:860, 220:345], bus[390:880, 670:809], bus[550:870, 0:66]]
    return [*crops, cv2.resize(crops[2], None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)]


def check(network, people, tolerance_px):
    """Shapes, pixels of each image, and a batch that equals its images one by one."""
    together = network(people)
    for image, joints in zip(people, together, strict=True):
        assert joints is not None
        assert (joints.shape, joints.dtype) == ((18, 3), np.float32)
        assert np.isfinite(joints).all()
        assert ((joints[:, 2] >= 0) & (joints[:, 2] <= 1)).all()
        height, width = image.shape[:2]
        assert (np.abs(joints[:, :2] - (width / 2, height / 2)) <= (2 * width, 2 * height)).all()
        alone = network([image])[0]
        np.testing.assert_allclose(alone[:, :2], joints[:, :2], atol=tolerance_px)
        np.testing.assert_allclose(alone[:, 2], joints[:, 2], atol=1e-3)
    return together


@pytest.mark.slow
def test_torchvision(people):
    from pipeline.backends.joints import torchvision as joints_torchvision

    params = Params(
        backend="torchvision", weights="random", person_score=0.01, height=128, width=64
    )
    network = joints_torchvision.build(params, "cpu")
    check(network, people[:2], tolerance_px=0.05)
    assert network([np.zeros((5, 3, 3), np.uint8)])[0] is not None
    nobody = joints_torchvision.build(params.model_copy(update={"person_score": 1.0}), "cpu")
    assert nobody(people[:1]) == [None]
    with pytest.raises(ReidError, match="torchvision has no `resnet`"):
        joints_torchvision.build(Params(model="resnet", weights="random"), "cpu")


def test_torchvision_joints_scale_back_to_the_image():
    from pipeline.backends.joints.torchvision import _joints, fit_into

    image = np.zeros((50, 40, 3), np.uint8)
    canvas, scale = fit_into(image, 128, 64)  # width is the limit: 64 / 40
    assert canvas.shape == (128, 64, 3)
    assert scale == (1.6, 1.6)
    keypoints = torch.zeros(2, 17, 3)
    keypoints[1, 0, :2] = torch.tensor([16.0, 32.0])  # the nose
    estimated = {
        "boxes": torch.tensor([[0.0, 0, 3, 3], [0, 0, 64, 80]]),
        "keypoints": keypoints,
        "keypoints_scores": torch.full((2, 17), 3.0),
    }
    joints = _joints(estimated, scale, image.shape[:2])
    assert joints is not None
    assert joints[0].tolist() == [10, 20, 0.5]


@pytest.mark.slow
def test_ultralytics(people, tmp_path):
    from safetensors.torch import save_file

    from pipeline.backends.joints import ultralytics as joints_ultralytics
    from pipeline.backends.libraries.ultralytics import untrained

    threads = torch.get_num_threads()
    params = Params(backend="ultralytics", weights="random", person_score=1e-4)
    network = joints_ultralytics.build(params, "cpu")
    together = check(network, people, tolerance_px=0.05)
    assert torch.get_num_threads() == threads
    assert os.environ["YOLO_AUTOINSTALL"] == "false"
    nobody = joints_ultralytics.build(params.model_copy(update={"person_score": 0.99}), "cpu")
    assert nobody(people[:1]) == [None]

    yolo = untrained("yolo11n-pose", "pose")
    save_file(yolo.model.state_dict(), tmp_path / "same.safetensors")
    again = params.model_copy(update={"weights": str(tmp_path / "same.safetensors")})
    (same,) = joints_ultralytics.build(again, "cpu")(people[:1])
    np.testing.assert_allclose(same, together[0], atol=0.05)
    torch.save({"model": subprocess.Popen}, tmp_path / "code.pt")
    for changed, message in (
        ({"weights": str(tmp_path / "code.pt")}, "trusted: true"),
        ({"model": "nope"}, "no pose model `nope`"),
        ({"weights": str(tmp_path / "missing.pt")}, "no such weights file"),
    ):
        with pytest.raises(ReidError, match=message):
            joints_ultralytics.build(params.model_copy(update=changed), "cpu")


def test_ultralytics_joints_are_of_the_central_person():
    from types import SimpleNamespace

    from pipeline.backends.joints.ultralytics import _joints

    keypoints = torch.arange(2 * 51.0).reshape(2, 17, 3)
    boxes = SimpleNamespace(xyxy=torch.tensor([[0.0, 0, 10, 100], [10, 0, 40, 100]]))
    result = SimpleNamespace(
        boxes=boxes, keypoints=SimpleNamespace(data=keypoints), orig_shape=(100, 50)
    )
    joints = _joints(result)
    assert joints is not None
    assert joints[0].tolist() == [51, 52, 53]


# Loading mmpose changes the process (registries, scopes), so it has one of its own.
MMPOSE = """
import sys, warnings
warnings.simplefilter("error")
import numpy as np, torch
from pipeline.backends.joints import mmpose as joints_mmpose
from reid.project.errors import ReidError
from pipeline.stages.joints import Params

model = "rtmpose-t_8xb256-420e_coco-256x192"
network = joints_mmpose.build(Params(model=model, weights="random"), "cpu")
import mmpose, mmpose.apis
assert not [n for n in sys.modules if n.startswith(("mmdet", "xtcocotools"))]

images = [np.full((h, w, 3), 90, np.uint8) for h, w in ((128, 64), (200, 90), (64, 64), (9, 5))]
for image in images:
    image[: len(image) // 2] = np.arange(image.shape[1], dtype=np.uint8)[:, None]
together = network(images)
for image, joints in zip(images, together):
    assert joints.shape == (18, 3) and joints.dtype == np.float32, joints
    np.testing.assert_allclose(network([image])[0], joints, atol=1e-3)

# A network that answers with the centre of its input for every joint: the centre of the image.
def centre(inputs, data_samples, test_cfg=None):
    from mmengine.structures import InstanceData

    return [InstanceData(keypoints=np.full((1, 17, 2), (96.0, 128.0)),
                         keypoint_scores=np.full((1, 17), 1.5)) for _ in data_samples]

network.model.head.predict = centre
for image, joints in zip(images, network(images)):
    height, width = image.shape[:2]
    np.testing.assert_allclose(joints, [(width / 2, height / 2, 1)] * 18, atol=1e-3)

state = network.model.state_dict()
torch.save({"state_dict": state, "meta": {}}, sys.argv[1] + "/w.pth")
network = joints_mmpose.build(Params(model=model, weights=sys.argv[1] + "/w.pth"), "cpu")
np.testing.assert_allclose(network(images)[0], together[0], atol=1e-3)

for settings, message in (
    (dict(model="nope", weights="random"), "no `nope`"),
    (dict(model="nope.py", weights="random"), "no such config file"),
    (dict(model="rtmpose-m_8xb64-210e_mpii-256x256", weights="random"), "COCO's 17 joints"),
    (dict(model=model, weights="missing.pth"), "no such weights file"),
):
    try:
        joints_mmpose.build(Params(**settings), "cpu")
    except ReidError as error:
        assert message in str(error), error
    else:
        raise AssertionError(settings)

from pathlib import Path
from safetensors.torch import save_file
from pipeline.backends import choices
from pipeline.backends.libraries import small_pose
state = joints_mmpose.untrained(small_pose.NAME, "cpu").state_dict()
halves = {name: (v + 0.25).half() if v.is_floating_point() else v for name, v in state.items()}
choices.WORLD = Path(sys.argv[1])
save_file(halves, sys.argv[1] + "/joints_mmpose.safetensors")
network = joints_mmpose.build(Params(weights="world"), "cpu")
for name, value in network.model.state_dict().items():
    assert not value.is_floating_point() or value.equal(halves[name].float()), name
network = joints_mmpose.build(Params(model=small_pose.NAME, weights="random"), "cpu")
together = network(images)
for image, joints in zip(images, together):
    np.testing.assert_allclose(network([image])[0], joints, atol=1e-3)
"""


@pytest.mark.slow
def test_mmpose(tmp_path):
    script = textwrap.dedent(MMPOSE)
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path)], capture_output=True, text=True, timeout=1200
    )
    assert done.returncode == 0, done.stderr[-3000:]
