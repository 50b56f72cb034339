"""The flow backends: OpenCV's on known shifts, files of flow, and ptlflow's networks, untrained."""

from __future__ import annotations

import struct
import sys
from pathlib import Path

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.backends.flow import dis as flow_dis
from pipeline.backends.flow import given as flow_given
from pipeline.backends.flow import lucas_kanade as flow_lucas_kanade
from pipeline.stages.flow import LEAST_SIDE, Params
from reid.arrays.flow import encode_flow
from reid.arrays.images import BadImage, encode_png
from reid.project.errors import ReidError
from reid.shards.schema import IMAGE
from tests.pipeline.video import shifted, texture

torch = pytest.importorskip("torch")

OPENCV = {"dis": flow_dis, "lucas_kanade": flow_lucas_kanade}


def close_to(result, u: float, v: float, edge: int = 8) -> bool:
    """Whether flow away from the edges is (u, v), but for few pixels."""
    inner = (slice(edge, -edge), slice(edge, -edge))
    error = np.hypot(*np.moveaxis(result.px - (u, v), -1, 0))[inner]
    return bool(np.median(error) < 0.1 and (error > 1).mean() < 0.05)


# --- OpenCV --------------------------------------------------------------------------------------


@pytest.mark.parametrize("model", ["ultrafast", "fast", "medium", ""])
@pytest.mark.parametrize(("u", "v"), [(5, 0), (0, -3), (-4, 2)])
def test_dis_finds_a_shift(model, u, v):
    first, following = shifted(128, 64, u, v, frames=2)
    (result,) = flow_dis.build(Params(backend="dis", model=model), "cpu")([(first, following)])
    assert result.px.dtype == np.float32
    assert result.valid.all()
    assert close_to(result, u, v) or model == "ultrafast"
    assert np.abs(np.median(result.px, (0, 1)) - (u, v)).max() < 0.2


@pytest.mark.parametrize(("u", "v"), [(5, 0), (0, -3), (-4, 2)])
def test_lucas_and_kanade_find_a_shift(u, v):
    pair = tuple(shifted(128, 64, u, v, frames=2))
    (result,) = flow_lucas_kanade.build(Params(backend="lucas_kanade"), "cpu")([pair])
    assert result.px.dtype == np.float32
    assert close_to(result, u, v)
    assert not result.px[~result.valid].any()


def test_a_pixel_without_texture_is_lost():
    first, following = shifted(64, 48, 2, 1, frames=2)
    for frame in (first, following):
        frame[20:60, 4:44] = 128
    (result,) = flow_lucas_kanade.build(Params(backend="lucas_kanade", window=9), "cpu")(
        [(first, following)]
    )
    assert not result.valid[36:44, 20:28].any()
    assert result.valid[8:14, 10:38].all()
    still = np.zeros((32, 32, 3), np.uint8)
    (result,) = flow_lucas_kanade.build(Params(backend="lucas_kanade"), "cpu")([(still, still)])
    assert not result.valid.any()


@pytest.mark.parametrize("backend", OPENCV)
def test_pairs_come_back_in_their_order_and_as_they_are_alone(backend):
    sizes = [(64, 32), (48, 48), (64, 32), (40, 60), (96, 32)]
    shifts = [(2, 0), (-3, 1), (0, 4), (1, -1), (-2, -2)]
    pairs = [
        tuple(shifted(*size, *shift, frames=2, seed=n))
        for n, (size, shift) in enumerate(zip(sizes, shifts, strict=True))
    ]
    estimate = OPENCV[backend].build(Params(backend=backend), "cpu")
    for pair, size, shift, result in zip(pairs, sizes, shifts, estimate(pairs), strict=True):
        assert result.px.shape == (*size, 2)
        assert close_to(result, *shift)
        np.testing.assert_array_equal(estimate([pair])[0].px, result.px)


@pytest.mark.parametrize("backend", OPENCV)
@pytest.mark.parametrize(
    "size",
    [(LEAST_SIDE, LEAST_SIDE), (LEAST_SIDE, 24), (LEAST_SIDE, 700), (700, LEAST_SIDE), (31, 200)],
    ids=str,
)
def test_small_and_long_frames_do_no_harm(backend, size):
    """OpenCV's DIS ends the process on some, such as 31 x 200: these are turned first."""
    first, following = shifted(*size, 1, 1, frames=2)
    for model in ("ultrafast", "fast", "medium") if backend == "dis" else ("",):
        estimate = OPENCV[backend].build(Params(backend=backend, model=model), "cpu")
        (result,) = estimate([(first, following)])
        assert result.px.shape == (*size, 2)
        assert np.isfinite(result.px).all()


def test_a_wide_pair_is_found_as_well():
    (result,) = flow_dis.build(Params(backend="dis"), "cpu")([tuple(shifted(40, 200, 4, -2, 2))])
    assert close_to(result, 4, -2)


def test_unknown_presets_are_one_line():
    with pytest.raises(ReidError, match=r"no preset `slow` \(it has ultrafast, fast, medium"):
        flow_dis.build(Params(backend="dis", model="slow"), "cpu")


# --- files ---------------------------------------------------------------------------------------

FLOW = np.random.default_rng(0).normal(0, 9, (6, 4, 2)).astype(np.float32)
KNOWN = np.ones((6, 4), bool)
KNOWN[2, 1:] = False


def flo(flow_px: np.ndarray, height: int = 6, width: int = 4) -> bytes:
    """Middlebury's format, number by number."""
    numbers = [float(n) for row in flow_px for pixel in row for n in pixel]
    return struct.pack(f"<fii{len(numbers)}f", 202021.25, width, height, *numbers)


def write(path: Path, data: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def test_middleburys_files_with_unknown_pixels():
    marked = np.where(KNOWN[..., None], FLOW, np.float32(1.666666752e9))
    marked[0, 0] = np.nan
    result = flow_given.decode(flo(marked))
    expected = KNOWN.copy()
    expected[0, 0] = False
    np.testing.assert_array_equal(result.valid, expected)
    np.testing.assert_array_equal(result.px, np.where(expected[..., None], FLOW, 0))


def test_kittis_files_as_another_program_writes_them(tmp_path):
    stored = np.zeros((6, 4, 3), np.uint16)  # blue, green, red for OpenCV
    stored[..., 2], stored[..., 1] = np.rint(64 * FLOW[..., 0] + 2**15), 64 * FLOW[..., 1] + 2**15
    stored[..., 0] = KNOWN
    cv2.imwrite(str(tmp_path / "000001_10.png"), stored)
    result = flow_given.load(tmp_path).find("training/000001_10")
    assert result is not None
    np.testing.assert_array_equal(result.valid, KNOWN)
    assert np.abs(result.px - FLOW)[KNOWN].max() <= 1 / 64


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        pytest.param(flo(FLOW)[:8], "truncated .flo", id="a cut head"),
        pytest.param(flo(FLOW)[:-1], "does not hold 4 x 6 pixels", id="cut off"),
        pytest.param(flo(FLOW) + b"\0", "does not hold 4 x 6 pixels", id="too long"),
        pytest.param(flo(FLOW, 0, 24), ".flo of 24 x 0 pixels", id="no rows"),
        pytest.param(flo(FLOW, -6, -4), ".flo of -4 x -6 pixels", id="negative"),
        pytest.param(flo(FLOW, 2**31 - 1, 2**31 - 1), "are read", id="larger than any image"),
        pytest.param(encode_png(np.zeros((6, 4, 3), np.uint8)), "16-bit", id="a colour picture"),
        pytest.param(b"nothing", "neither JPEG nor PNG", id="text"),
    ],
)
def test_damaged_files(tmp_path, data, reason):
    write(tmp_path / "a.flo", data)
    with pytest.raises(BadImage, match=reason):
        flow_given.load(tmp_path).find("a")


def test_a_folder_of_both_formats_by_name(tmp_path):
    write(tmp_path / "cam1/a.flo", flo(FLOW))
    write(tmp_path / "cam1/b.png", encode_flow(FLOW, KNOWN))
    write(tmp_path / "cam2/b.flo", flo(-FLOW))
    labels = flow_given.load(tmp_path)
    assert labels.find("elsewhere/a") is None, "of another folder"
    for name, expected in (("cam1/a", FLOW), ("raw/cam1/a", FLOW), ("cam2/b", -FLOW)):
        result = labels.find(name)
        assert result is not None
        np.testing.assert_array_equal(result.px, expected)
    result = labels.find("cam1/b")
    assert result is not None
    np.testing.assert_array_equal(result.valid, KNOWN)
    assert labels.find("cam3/b") is None, "two labels have this name"
    assert labels.unmatched(["cam1/a", "cam2/b"]) == ["cam1/b"]
    write(tmp_path / "cam1/b.flo", flo(FLOW))
    with pytest.raises(ReidError, match=r"cam1/b\.png: b\.flo is of the same frame"):
        flow_given.load(tmp_path)


def table(names: list[str], flows: list, kind=IMAGE) -> pa.Table:
    return pa.table({"image_id": names, "flow": pa.array(flows, kind)})


def test_tables_of_structs_or_bytes(tmp_path):
    data = encode_flow(FLOW, KNOWN)
    for kind, cell in ((IMAGE, {"bytes": data, "path": None}), (pa.binary(), data)):
        path = tmp_path / f"{kind == IMAGE}.parquet"
        pq.write_table(table(["a/1.jpg", "a/2"], [cell, None], kind), path)
        labels = flow_given.load(path)
        result = labels.find("a/1")
        assert result is not None
        np.testing.assert_array_equal(result.valid, KNOWN)
        assert labels.find("a/2") is None


def test_the_digest_is_of_names_and_content(tmp_path):
    digests = []
    for names, flows in (
        (["a", "b"], [b"1", b"2"]), (["b", "a"], [b"2", b"1"]), (["a", "b"], [b"2", b"1"]),
        (["a", "c"], [b"1", b"2"]), (["a", "b"], [b"12", b""]),
    ):  # fmt: skip
        pq.write_table(table(names, flows, pa.binary()), tmp_path / "t.parquet")
        digests.append(flow_given.load(tmp_path / "t.parquet").digest())
    assert digests[0] == digests[1]
    assert len(set(digests)) == 4
    write(tmp_path / "files/a.png", b"1")
    write(tmp_path / "files/b.flo", b"2")
    assert flow_given.load(tmp_path / "files").digest() == digests[0]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        pytest.param(
            lambda p: pq.write_table(table(["a", "a.png"], [b"1", b"2"], pa.binary()),
                                     write(p / "a.parquet", b"")),
            "two rows of image_id a.png", id="twice",
        ),
        pytest.param(
            lambda p: pq.write_table(table(["a"], [None]), write(p / "a.parquet", b"")),
            "no flow in it", id="none",
        ),
    ],
)  # fmt: skip
def test_what_holds_no_flow(tmp_path, make, message):
    make(tmp_path / "given")
    with pytest.raises(ReidError, match=message):
        flow_given.load(tmp_path / "given")


# --- ptlflow, with a stand-in for its networks ---------------------------------------------------


class Sums(torch.nn.Module):
    """u is what blue grows by, v the first frame's red, in levels; both at the input's size."""

    def __init__(self, bad: float | None = None):
        super().__init__()
        self.bad, self.calls = bad, []

    def forward(self, inputs):
        images = inputs["images"]  # (B, 2, 3, H, W) BGR, 0 to 1
        assert 0 <= float(images.min()) <= float(images.max()) <= 1
        self.calls.append(tuple(images.shape))
        first, following = 255 * images[:, 0], 255 * images[:, 1]
        flow = torch.stack([following[:, 0] - first[:, 0], first[:, 2]], 1)
        return {"flows": (flow if self.bad is None else flow * self.bad)[:, None]}


def stood_in(monkeypatch, model, **params):
    from pipeline.backends.flow import ptlflow as flow_ptlflow

    monkeypatch.setattr(flow_ptlflow, "load", lambda settings: model)
    estimate = flow_ptlflow.build(Params(weights="random", **params), "cpu")
    if isinstance(model, Sums):
        model.calls.clear()
    return estimate


def coloured(size, red: int, blue: int) -> np.ndarray:
    return np.full((*size, 3), (red, 7, blue), np.uint8)


def test_ptlflow_gets_pairs_of_one_size_in_its_order_of_colours(monkeypatch):
    model = Sums()
    estimate = stood_in(monkeypatch, model, batch=2)
    sizes = [(40, 20), (32, 32), (40, 20), (40, 20)]
    pairs = [
        (coloured(size, 10 * n, 5), coloured(size, 99, 6 + n)) for n, size in enumerate(sizes, 1)
    ]
    result = estimate(pairs)
    assert model.calls == [(2, 2, 3, 40, 20), (1, 2, 3, 40, 20), (1, 2, 3, 32, 32)]
    for n, (size, one) in enumerate(zip(sizes, result, strict=True), 1):
        assert one.px.shape == (*size, 2)
        assert one.valid.all()
        np.testing.assert_allclose(one.px[3, 4], (1 + n, 10 * n), atol=1e-3)


def test_what_a_network_cannot_do_is_one_line(monkeypatch):
    class Broken(torch.nn.Module):
        def forward(self, inputs):
            raise RuntimeError("sizes\nof tensors")

    class Mixing(torch.nn.Module):
        def forward(self, inputs):
            images = inputs["images"]
            return {"flows": (images[:, :1, :2] + images[:, 1:, :2].mean(0))}

    with pytest.raises(ReidError, match="liteflownet mixes the pairs of a batch; set `batch: 1`"):
        stood_in(monkeypatch, Mixing())
    stood_in(monkeypatch, Mixing(), batch=1)
    pair = (texture(16, 16), texture(16, 16))
    for model, message in (
        (Broken(), r"cannot take 1 pairs of 16 x 16 pixels \(sizes of tensors\); .* `scale: 2`"),
        (Sums(bad=float("nan")), "no numbers come out"),
    ):
        with pytest.raises(ReidError, match=message):
            stood_in(monkeypatch, model, batch=1)([pair])


def test_ptlflow_that_is_not_installed_is_one_line(monkeypatch):
    from pipeline.backends.flow import ptlflow as flow_ptlflow

    monkeypatch.setitem(sys.modules, "ptlflow", None)
    with pytest.raises(ReidError, match=r"ptlflow is not usable.*pip install ptlflow") as caught:
        flow_ptlflow.build(Params(weights="random"), "cpu")
    assert "\n" not in str(caught.value)


def test_a_warp_by_loops():
    from pipeline.backends.flow.liteflownet_warp import MiddleChannel, Warp

    random = torch.Generator().manual_seed(0)
    maps = torch.rand(2, 3, 6, 5, generator=random)
    flow = 4 * torch.rand(2, 2, 6, 5, generator=random) - 2
    flow[0, :, 2, 2] = 0
    result = Warp()(maps, flow / 10, 6, 5, 0.1)  # in tenths of a pixel
    for n, y, x in np.ndindex(2, 6, 5):
        to_x, to_y = x + float(flow[n, 0, y, x]), y + float(flow[n, 1, y, x])
        expected = torch.zeros(3)
        if 0 <= to_x <= 4 and 0 <= to_y <= 5:
            left, top = min(int(to_x), 3), min(int(to_y), 4)
            a, b = to_x - left, to_y - top
            expected = (
                maps[n, :, top, left] * (1 - a) * (1 - b) + maps[n, :, top, left + 1] * a * (1 - b)
                + maps[n, :, top + 1, left] * (1 - a) * b + maps[n, :, top + 1, left + 1] * a * b
            )  # fmt: skip
        torch.testing.assert_close(result[n, :, y, x], expected, atol=1e-4, rtol=0)
    middle = MiddleChannel()(maps, flow / 10, 6, 5, 0.1)[:, 1]
    assert torch.equal(middle, result[:, 1:2])


# --- ptlflow itself ------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def ptlflow():
    pytest.importorskip("loguru")
    from pipeline.backends.flow.ptlflow import import_ptlflow

    return import_ptlflow()


def network(**params):
    from pipeline.backends.flow import ptlflow as flow_ptlflow

    return flow_ptlflow.build(Params.model_validate({"weights": "random", **params}), "cpu")


def pairs_of(count: int, height: int, width: int):
    made = [texture(height, width, seed) for seed in range(2 * count)]
    return list(zip(made[::2], made[1::2], strict=True))


@pytest.mark.parametrize("model", ["liteflownet", "liteflownet2"])
def test_eight_pairs_have_the_flow_that_each_has_alone(ptlflow, model):
    pairs = pairs_of(8, 64, 64)
    together, alone = (network(model=model, batch=n)(pairs) for n in (8, 1))
    three = network(model=model, batch=3)(pairs)
    largest = max(float(np.abs(one.px).max()) for one in alone)
    assert largest > 0.05
    for one, other, third in zip(alone, together, three, strict=True):
        assert one.px.shape == (64, 64, 2)
        assert np.abs(one.px - other.px).max() < 1e-4 * largest
        assert np.abs(one.px - third.px).max() < 1e-4 * largest


def test_one_pair_has_the_librarys_flow_but_for_what_it_blacks_out(ptlflow):
    from pipeline.backends.flow.ptlflow import untrained

    pairs = pairs_of(2, 64, 40)
    ours, plain = network(batch=1), untrained(ptlflow, "liteflownet").eval()
    for pair, result in zip(pairs, ours(pairs), strict=True):
        images = torch.from_numpy(np.stack(pair)[..., ::-1].copy()).permute(0, 3, 1, 2)[None]
        with torch.inference_mode():
            theirs = plain({"images": images.contiguous().float() / 255})["flows"][0, 0]
        difference = np.abs(result.px - theirs.movedim(0, -1).numpy())
        assert difference.max() < 0.05 * np.abs(result.px).max()


def test_the_library_blacks_out_pixels_by_the_last_bit_of_a_sum(ptlflow):
    """Why its warp is replaced; elsewhere both are alike."""
    from ptlflow.models.liteflownet.warp import WarpingLayer

    from pipeline.backends.flow.liteflownet_warp import Warp

    random = torch.Generator().manual_seed(0)
    maps = 1 + torch.rand(2, 3, 40, 30, generator=random)
    flow = torch.rand(2, 2, 40, 30, generator=random)
    ours, theirs = (warp(maps, flow, 40, 30, 1.0) for warp in (Warp(), WarpingLayer()))
    inside = (slice(None), slice(None), slice(0, 38), slice(0, 28))
    assert (ours[inside] > 0).all()
    assert 0.002 < float((theirs[inside] == 0).float().mean()) < 0.5
    kept = theirs != 0
    torch.testing.assert_close(ours[kept], theirs[kept], atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    ("side", "stride", "dilation"), [(7, 1, 1), (7, 2, 2), (9, 1, 2), (5, 2, 1)]
)
@pytest.mark.parametrize("size", [(12, 7), (5, 2)])
def test_correlation_is_the_librarys(ptlflow, side, stride, dilation, size):
    from ptlflow.utils.correlation import IterSpatialCorrelationSampler

    from pipeline.backends.flow.correlation import Correlation

    random = torch.Generator().manual_seed(0)
    maps = [torch.randn(2, 6, *size, generator=random, requires_grad=True) for _ in range(2)]
    theirs = IterSpatialCorrelationSampler(patch_size=side, stride=stride, dilation_patch=dilation)
    results = []
    for correlation in (Correlation(side, stride, dilation), theirs):
        result = correlation(*maps)
        weights = torch.linspace(-1, 1, result.numel()).view(result.shape)
        results.append((result, *torch.autograd.grad((result * weights).sum(), maps)))
    assert results[0][0].shape[:3] == (2, side, side)
    assert results[0][0].abs().max() > 1
    for ours, library in zip(*results, strict=True):
        torch.testing.assert_close(ours, library, atol=1e-4, rtol=0)


@pytest.mark.parametrize(("model", "count"), [("liteflownet", 5), ("pwcnet", 1), ("raft_small", 0)])
def test_each_correlation_of_a_network_is_replaced(ptlflow, model, count):
    from pipeline.backends.flow import ptlflow as flow_ptlflow
    from pipeline.backends.flow.correlation import Correlation

    loaded = flow_ptlflow.load(Params.model_validate({"weights": "random", "model": model}))
    assert sum(isinstance(part, Correlation) for part in loaded.modules()) == count


def test_the_library_alone_mixes_pairs(ptlflow):
    from pipeline.backends.flow.ptlflow import Network, untrained

    with pytest.raises(ReidError, match="liteflownet mixes the pairs of a batch"):
        Network("liteflownet", "cpu", untrained(ptlflow, "liteflownet")).check_batches()


def test_sizes_that_are_no_multiples_of_32_and_several_in_a_call(ptlflow):
    pairs = [*pairs_of(1, 50, 33), *pairs_of(2, 64, 40), *pairs_of(1, 50, 33)]
    estimate = network(batch=2)
    result = estimate(pairs)
    assert [one.px.shape[:2] for one in result] == [(50, 33), (64, 40), (64, 40), (50, 33)]
    np.testing.assert_allclose(result[0].px, result[3].px, atol=1e-5)
    for pair, one in zip(pairs, result, strict=True):
        np.testing.assert_allclose(estimate([pair])[0].px, one.px, atol=1e-5)


def test_weights_by_path_and_by_name(ptlflow, tmp_path, monkeypatch):
    from safetensors.torch import save_file

    from pipeline.backends import choices
    from pipeline.backends.flow import ptlflow as flow_ptlflow

    pairs = pairs_of(1, 64, 40)
    (before,) = network(batch=1)(pairs)
    changed = {
        name: value * 1.1 for name, value in flow_ptlflow.untrained(ptlflow, "liteflownet")
        .state_dict().items()
    }  # fmt: skip
    save_file(changed, tmp_path / "net.safetensors")
    checkpoint = {"state_dict": changed, "hyper_parameters": {"train_size": None}, "epoch": 3}
    torch.save(checkpoint, tmp_path / "net.ckpt")
    asked = []
    monkeypatch.chdir(tmp_path)  # where nothing is pinned
    fetched = tmp_path / "net.ckpt"
    monkeypatch.setattr(choices, "download", lambda url: asked.append(url) or fetched)
    result = [
        network(batch=1, weights=name)(pairs)[0].px
        for name in (str(tmp_path / "net.safetensors"), "net.ckpt", "sintel", "pretrained")
    ]
    assert len(asked) == 2
    assert "liteflownet-sintel" in asked[0]
    assert "liteflownet-things" in asked[1]
    assert not np.allclose(result[0], before.px, atol=1e-3)
    for other in result[1:]:
        np.testing.assert_array_equal(result[0], other)
    torch.save({"state_dict": dict(list(changed.items())[:5])}, tmp_path / "part.ckpt")
    for name, message in (
        (str(tmp_path / "part.ckpt"), "not this model's weights"),
        ("chairs", r"chairs: no such file, nor ptlflow's weights of liteflownet \(kitti, sintel, "),
    ):
        with pytest.raises(ReidError, match=message):
            network(weights=name)


def test_models_are_the_librarys(ptlflow):
    with pytest.raises(ReidError, match=r"ptlflow has no model `liteflow` \(such as .*liteflownet"):
        network(model="liteflow")
    with pytest.raises(ReidError, match=r"no model `qqq` \(such as liteflownet, raft"):
        network(model="qqq")


@pytest.mark.slow
@pytest.mark.parametrize("model", ["raft_small", "pwcnet", "liteflownet3"])
def test_other_models(ptlflow, model):
    pairs = pairs_of(3, 128, 128)
    together, alone = (network(model=model, batch=n)(pairs) for n in (3, 1))
    for one, other in zip(alone, together, strict=True):
        assert one.px.shape == (128, 128, 2)
        assert np.abs(one.px - other.px).max() < 0.1 * max(1, np.abs(one.px).max())


@pytest.mark.slow
def test_small_frames_of_a_network_that_needs_large_ones(ptlflow):
    with pytest.raises(ReidError, match=r"raft_small cannot take .* `scale: 2`"):
        network(model="raft_small", batch=1)(pairs_of(1, 64, 48))


def test_a_network_leaves_no_trace(ptlflow):
    state, threads = torch.get_rng_state(), torch.get_num_threads()
    network(batch=1)
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.get_num_threads() == threads
