"""Which weights a network backend uses: by word, by hash, pinned, with and without a network."""

import hashlib
import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

from pipeline.backends import checkpoints, choices, weights
from pipeline.backends.choices import NETWORKS, Choice, choose, file_of
from pipeline.backends.libraries import small_pose
from pipeline.backends.weights import address_of, identity
from pipeline.stages import stage as find_stage
from reid.project.errors import ReidError

STAGES = ("masks", "joints", "crops", "flow")
NO_NETWORK = {"given", "depth", "dis", "lucas_kanade"}
ADDRESS = "https://example.org/releases/net-1234.pth"


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def params(stage: str, backend: str, **values):
    return find_stage(stage).params.model_validate({"backend": backend, **values})


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch) -> Path:
    """An empty folder of downloads, and an empty one of the world's weights."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setattr(choices, "WORLD", tmp_path / "world_weights")
    (tmp_path / "world_weights").mkdir()
    return tmp_path / "torch" / "hub" / "checkpoints"


@pytest.fixture
def asked(monkeypatch) -> list[str]:
    """What the libraries are asked for; each offers `ADDRESS`."""
    result: list[str] = []
    monkeypatch.setattr(weights, "address_of", lambda c: result.append(c.key) or ADDRESS)
    return result


def put(cache: Path, data: bytes, name: str = "net-1234.pth") -> Path:
    cache.mkdir(parents=True, exist_ok=True)
    (cache / name).write_bytes(data)
    return cache / name


def pinned(root: Path) -> dict:
    return json.loads((root / "data" / "weights.json").read_text())


# --- what a word means ---------------------------------------------------------------------------


def test_every_network_backend_is_known_and_its_library_can_be_asked():
    for stage in STAGES:
        backends = find_stage(stage).backends()
        known = {name.split("_", 1)[1] for name in NETWORKS if name.startswith(f"{stage}_")}
        assert known == set(backends) - NO_NETWORK
    for name, network in NETWORKS.items():
        assert find_spec(f"pipeline.backends.{name.replace('_', '.')}") is not None
        assert network.library in weights.ADDRESSES
    assert [name for name, network in NETWORKS.items() if network.world] == [
        "masks_torchvision", "joints_mmpose", "crops_ultralytics", "flow_ptlflow",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("stage", "backend", "word", "kind"),
    [
        ("masks", "torchvision", "world", "world"),
        ("masks", "torchvision", "pretrained", "pretrained"),
        ("masks", "torchvision", "random", "random"),
        ("masks", "torchvision", "things", "path"),
        ("flow", "ptlflow", "things", "pretrained"),
        ("flow", "ptlflow", "kitti", "pretrained"),
        ("flow", "ptlflow", "net.ckpt", "path"),
        ("flow", "ptlflow", "here/net", "path"),
    ],
)
def test_a_word_and_a_path(stage, backend, word, kind):
    assert choose(stage, backend, params(stage, backend, weights=word)).kind == kind


def test_the_model_follows_the_weights_where_none_is_named():
    def model(stage, backend, **values):
        return choose(stage, backend, params(stage, backend, **values)).model

    assert model("masks", "torchvision") == "maskrcnn_resnet50_fpn"
    assert model("masks", "torchvision", weights="world") == "maskrcnn_small"
    assert model("joints", "mmpose").startswith("rtmpose-m")
    assert model("joints", "mmpose", weights="world") == small_pose.NAME
    assert model("crops", "ultralytics", weights="world", model="yolo11n") == "yolo11n"
    assert model("crops", "ultralytics", weights="random", model="yolo12s") == "yolo12s"


def test_the_worlds_weights_are_hashed(tmp_path):
    (tmp_path / "world_weights" / "flow_ptlflow.safetensors").write_bytes(b"fitted")
    assert identity("flow", params("flow", "ptlflow", weights="world"), tmp_path) == sha256(
        b"fitted"
    )


@pytest.mark.parametrize(
    ("stage", "backend", "values", "message"),
    [
        ("masks", "ultralytics", {}, "masks.weights: no `world` weights of backend ultralytics "
         r"\(there are some of masks_torchvision, joints_mmpose, crops_ultralytics, flow_ptlflow"),
        ("crops", "ultralytics", {"model": "yolo11s"},
         "crops.model: the `world` weights are of yolo11n, not of yolo11s; leave `model` away"),
        ("joints", "mmpose", {},
         "joints_mmpose.safetensors: not there.*`reid fit-backend joints_mmpose` makes some"),
    ],
)  # fmt: skip
def test_where_there_are_none_of_the_world(tmp_path, stage, backend, values, message):
    with pytest.raises(ReidError, match=message) as caught:
        identity(stage, params(stage, backend, weights="world", **values), tmp_path)
    assert "\n" not in str(caught.value)


def test_a_path_is_hashed_from_the_projects_root_and_random_is_random(tmp_path):
    (tmp_path / "w.pth").write_bytes(b"abc")
    for path in ("w.pth", str(tmp_path / "w.pth")):
        assert identity("masks", params("masks", "torchvision", weights=path), tmp_path) == sha256(
            b"abc"
        )
    assert identity("flow", params("flow", "ptlflow", weights="random"), tmp_path) == "random"
    assert file_of(Choice("flow", "ptlflow", "raft", "random"), address_of, tmp_path) is None
    assert identity("flow", params("flow", "dis"), tmp_path) == ""
    with pytest.raises(ReidError, match=r"away\.pth: no such weights file .joints.weights is `wor"):
        identity("joints", params("joints", "mmpose", weights="away.pth"), tmp_path)


# --- pins ----------------------------------------------------------------------------------------


def test_what_is_there_is_pinned_once_and_then_known_without_library_or_file(
    tmp_path, cache, asked
):
    path = put(cache, b"tensors")
    settings = params("masks", "torchvision")
    assert identity("masks", settings, tmp_path) == sha256(b"tensors")
    key = "masks torchvision maskrcnn_resnet50_fpn"
    assert asked == [key]
    assert pinned(tmp_path) == {
        key: {"address": ADDRESS, "bytes": 7, "file": path.name, "sha256": sha256(b"tensors")}
    }
    assert identity("masks", settings, tmp_path) == sha256(b"tensors")
    path.unlink()
    assert identity("masks", settings, tmp_path) == sha256(b"tensors")
    assert asked == [key]


def test_another_file_than_the_pinned_one_is_refused(tmp_path, cache, asked):
    path, settings = put(cache, b"tensors"), params("masks", "torchvision")
    identity("masks", settings, tmp_path)
    path.write_bytes(b"other")
    choice = choose("masks", "torchvision", settings)
    for refuses in (
        lambda: identity("masks", settings, tmp_path),
        lambda: file_of(choice, weights.address_of, tmp_path),
    ):
        with pytest.raises(ReidError, match=r"delete the file .* or that entry") as caught:
            refuses()
        message = str(caught.value)
        assert "\n" not in message
        for part in (str(path), sha256(b"other"), sha256(b"tensors"), f"`{choice.key}`"):
            assert part in message
    path.write_bytes(b"tensors")
    assert file_of(choice, weights.address_of, tmp_path) == path


def test_a_build_fetches_what_is_pinned_and_checks_it(tmp_path, cache, monkeypatch):
    (tmp_path / "server").mkdir()
    server = tmp_path / "server" / "net-1234.pth"
    server.write_bytes(b"tensors")
    monkeypatch.setattr(weights, "address_of", lambda _: server.as_uri())
    settings = params("crops", "ultralytics")
    choice = choose("crops", "ultralytics", settings)
    assert identity("crops", settings, tmp_path) == sha256(b"tensors")
    monkeypatch.setattr(weights, "address_of", lambda _: pytest.fail("the address is pinned"))
    (cache / server.name).unlink()
    assert file_of(choice, weights.address_of, tmp_path) == cache / server.name
    (cache / server.name).unlink()
    server.write_bytes(b"replaced")
    assert identity("crops", settings, tmp_path) == sha256(b"tensors")
    with pytest.raises(ReidError, match=f"has SHA-256 {sha256(b'replaced')}"):
        file_of(choice, weights.address_of, tmp_path)


def test_without_a_network_the_error_names_the_address_and_the_folder(tmp_path, cache, monkeypatch):
    gone = (tmp_path / "server" / "net-1234.pth").as_uri()
    monkeypatch.setattr(weights, "address_of", lambda _: gone)
    with pytest.raises(ReidError) as caught:
        identity("masks", params("masks", "torchvision"), tmp_path)
    message = str(caught.value)
    assert message.startswith(f"cannot download {gone} (")
    assert f"put the file in {cache} as net-1234.pth, or set `weights` to a path" in message
    assert "\n" not in message
    assert not (tmp_path / "data").exists()


def test_names_of_a_library_are_pinned_each(tmp_path, cache, asked):
    put(cache, b"tensors")
    for name in ("things", "pretrained", "sintel"):
        identity("flow", params("flow", "ptlflow", weights=name), tmp_path)
    assert list(pinned(tmp_path)) == sorted(asked)
    assert asked == [
        "flow ptlflow liteflownet things", "flow ptlflow liteflownet",
        "flow ptlflow liteflownet sintel",
    ]  # fmt: skip


def test_pinning_at_once_loses_no_pin(tmp_path, cache, monkeypatch):
    monkeypatch.setattr(weights, "address_of", lambda c: f"https://example.org/{c.model}.pt")
    models = [f"net{number}" for number in range(16)]
    for model in models:
        put(cache, model.encode(), f"{model}.pt")

    def pin(model):
        return identity("crops", params("crops", "ultralytics", model=model), tmp_path)

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(pin, models)) == [sha256(model.encode()) for model in models]
    assert set(pinned(tmp_path)) == {f"crops ultralytics {model}" for model in models}


def test_a_pin_made_meanwhile_wins(tmp_path, cache, asked, monkeypatch):
    path, settings = put(cache, b"tensors"), params("masks", "torchvision")
    identity("masks", settings, tmp_path)
    path.write_bytes(b"other")
    before = weights.pins
    reads = iter([{}])  # as it was before the other process wrote
    monkeypatch.setattr(weights, "pins", lambda root: next(reads, None) or before(root))
    monkeypatch.setattr(weights, "_pinned", weights._pin)
    with pytest.raises(ReidError, match="pins"):
        identity("masks", settings, tmp_path)
    assert pinned(tmp_path)["masks torchvision maskrcnn_resnet50_fpn"]["bytes"] == 7


@pytest.mark.parametrize("text", ["{", "[]", '{"a": 3}', '{"a": {"sha256": "0"}}'])
def test_pins_that_cannot_be_read_are_one_line(tmp_path, text):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "weights.json").write_text(text)
    with pytest.raises(ReidError, match=r"data/weights\.json: not readable .*; mend it") as caught:
        identity("masks", params("masks", "torchvision"), tmp_path)
    assert "\n" not in str(caught.value)


def test_it_imports_no_network_library():
    code = (
        "import sys, pipeline.backends.weights\n"
        "heavy = {'torch', 'torchvision', 'ultralytics', 'mmpose', 'ptlflow', 'pandas'}\n"
        "sys.exit(', '.join(sorted(heavy & set(sys.modules))) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


# --- the libraries' addresses --------------------------------------------------------------------


def address(stage: str, backend: str, model: str = "", word: str = "pretrained") -> str:
    settings = params(stage, backend, model=model, weights=word)
    return weights.address_of(choose(stage, backend, settings))


def test_downloads_lie_where_torch_has_them(tmp_path, monkeypatch):
    torch = pytest.importorskip("torch")
    for name, folder in (("TORCH_HOME", "~/mine"), ("XDG_CACHE_HOME", str(tmp_path))):
        monkeypatch.delenv("TORCH_HOME", raising=False)
        monkeypatch.setenv(name, folder)
        expected = Path(torch.hub.get_dir()) / "checkpoints"
        assert checkpoints.downloads_folder() == expected


def test_torchvisions_addresses():
    pytest.importorskip("torchvision")
    assert address("masks", "torchvision").startswith(
        "https://download.pytorch.org/models/maskrcnn_resnet50_fpn_coco-"
    )
    assert "/keypointrcnn_resnet50_fpn_coco-" in address("joints", "torchvision")
    with pytest.raises(ReidError, match="maskrcnn_small is this project's own network"):
        address("masks", "torchvision", "maskrcnn_small")
    with pytest.raises(ReidError, match=r"joints.model: torchvision has no `maskrcnn_small`"):
        address("joints", "torchvision", "maskrcnn_small")


def test_ultralytics_addresses():
    pytest.importorskip("ultralytics")
    for stage, name in (("crops", "yolo11n"), ("masks", "yolo11n-seg"), ("joints", "yolo11n-pose")):
        result = address(stage, "ultralytics")
        assert result.startswith("https://github.com/ultralytics/assets/releases/download/v")
        assert result.endswith(f"/{name}.pt")
    with pytest.raises(ReidError, match=r"crops.weights: ultralytics has no release of my.yaml"):
        address("crops", "ultralytics", "my.yaml")


def test_mmposes_addresses_without_loading_it():
    if find_spec("mmpose") is None:
        pytest.skip("mmpose is not installed")
    loaded = "mmpose" in sys.modules
    assert "rtmpose-m_simcc-coco" in address("joints", "mmpose")
    assert "rtmpose-tiny" in address("joints", "mmpose", NETWORKS["joints_mmpose"].world)
    assert ("mmpose" in sys.modules) == loaded


def test_ptlflows_addresses_by_name():
    pytest.importorskip("ptlflow")
    assert "/liteflownet-things-" in address("flow", "ptlflow")
    assert address("flow", "ptlflow") == address("flow", "ptlflow", word="things")
    assert "/liteflownet-kitti-" in address("flow", "ptlflow", word="kitti")
    with pytest.raises(ReidError, match=r"ptlflow's weights of liteflownet .kitti, sintel, things"):
        address("flow", "ptlflow", word="chairs")


@pytest.mark.parametrize(
    ("known", "expected"),
    [({"a": "first", "things": "second"}, "second"), ({"b": "first", "a": "second"}, "first")],
)
def test_pretrained_flow_is_things_or_the_librarys_first(monkeypatch, known, expected):
    from pipeline.backends.flow import ptlflow as flow_ptlflow

    model = SimpleNamespace(pretrained_checkpoints=known)
    library = SimpleNamespace(
        get_model_names=lambda: ["mine"], get_model_reference=lambda name: model
    )
    monkeypatch.setattr(flow_ptlflow, "import_ptlflow", lambda: library)
    assert address("flow", "ptlflow", "mine") == expected
    known.clear()
    with pytest.raises(ReidError, match=r"ptlflow's weights of mine \(none\)"):
        address("flow", "ptlflow", "mine")


def test_detectron2s_model_zoo_is_asked(monkeypatch):
    """With a stand-in for the library."""

    def url_of(name):
        if name == "none.yaml":
            raise RuntimeError("none.yaml not available in Model Zoo!")
        return f"https://example.org/{name}/model_final.pkl"

    zoo = ModuleType("detectron2.model_zoo")
    zoo.__dict__["get_checkpoint_url"] = url_of
    monkeypatch.setitem(sys.modules, "detectron2", ModuleType("detectron2"))
    monkeypatch.setitem(sys.modules, "detectron2.model_zoo", zoo)
    assert address("masks", "detectron2").endswith("mask_rcnn_R_50_FPN_3x.yaml/model_final.pkl")
    with pytest.raises(ReidError, match=r"masks.weights: none.yaml not avail.*`weights` to a path"):
        address("masks", "detectron2", "none.yaml")


# --- the world's weights in the networks ---------------------------------------------------------


def fitted(model, name: str) -> dict:
    """A network's tensors changed, in half precision, as the package has them."""
    from safetensors.torch import save_file

    halves = {
        key: ((value + 0.25).half() if value.is_floating_point() else value).contiguous()
        for key, value in model.state_dict().items()
    }
    save_file(halves, choices.WORLD / f"{name}.safetensors")
    return halves


def check_filled(model, halves: dict) -> None:
    state = model.state_dict()
    for key, value in halves.items():
        if value.is_floating_point():
            assert str(state[key].dtype) == "torch.float32"
            assert state[key].equal(value.float()), key


def test_half_precision_masks_in_the_small_network():
    pytest.importorskip("torchvision")
    from pipeline.backends.libraries.torchvision_rcnn import load_rcnn
    from pipeline.backends.masks import torchvision as masks_torchvision

    random = load_rcnn("masks", params("masks", "torchvision", model="maskrcnn_small",
                                       weights="random", person_score=0.2))  # fmt: skip
    assert random.roi_heads.score_thresh == 0.2
    assert random.rpn.post_nms_top_n() == 100
    assert not random.training
    halves = fitted(random, "masks_torchvision")
    settings = params("masks", "torchvision", weights="world", shortest_side=32, longest_side=64)
    check_filled(load_rcnn("masks", settings), halves)
    path = str(choices.WORLD / "masks_torchvision.safetensors")
    by_path = settings.model_copy(update={"weights": path, "model": "maskrcnn_small"})
    check_filled(load_rcnn("masks", by_path), halves)
    masks_torchvision.build(settings, "cpu")
    with pytest.raises(ReidError, match="not this model's weights"):
        load_rcnn("masks", by_path.model_copy(update={"model": "maskrcnn_resnet50_fpn"}))


def test_half_precision_boxes_in_a_yolo():
    pytest.importorskip("ultralytics")
    from pipeline.backends.libraries.ultralytics import load_yolo, untrained

    halves = fitted(untrained("yolo11n", "detect").model, "crops_ultralytics")
    check_filled(load_yolo("crops", params("crops", "ultralytics", weights="world")).model, halves)


def test_half_precision_flow_in_liteflownet():
    pytest.importorskip("ptlflow")
    from pipeline.backends.flow.ptlflow import import_ptlflow, load, untrained

    halves = fitted(untrained(import_ptlflow(), "liteflownet"), "flow_ptlflow")
    check_filled(load(params("flow", "ptlflow", weights="world")), halves)
