"""Backbones by name: their maps, the last stride, and the weights that they start from."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from reid.nn import backbones
from reid.project.errors import ReidError

TINY = {"channels": (8, 8, 16, 16)}


def tiny(**options) -> nn.Module:
    torch.manual_seed(0)
    return backbones.build("resnet10t", **TINY, **options)


def maps(trunk: nn.Module, size: int = 64) -> torch.Tensor:
    with torch.no_grad():
        return trunk.eval()(torch.randn(2, 3, size, size, generator=torch.Generator()))


@pytest.mark.parametrize("name", ["resnet50.tv_in1k", "legacy_seresnet50.in1k", "resnet18"])
@pytest.mark.parametrize(("stride", "side"), [(1, 4), (2, 2)])
def test_the_last_stride_doubles_the_map(name, stride, side):
    trunk = backbones.build(name, last_stride=stride)
    width = 512 if name == "resnet18" else 2048
    assert trunk.head_hidden_size == width
    assert maps(trunk).shape == (2, width, side, side)


def test_the_larger_map_has_the_smaller_one_at_every_second_place():
    """So the first block of the last stage is as it was, not dilated."""
    coarse, fine = backbones.build("resnet26"), backbones.build("resnet26", last_stride=1)
    fine.load_state_dict(coarse.state_dict())
    maps = torch.randn(1, 1024, 4, 4)
    small, large = (trunk.eval().get_submodule("layer4.0")(maps) for trunk in (coarse, fine))
    torch.testing.assert_close(large[:, :, ::2, ::2], small)
    layers = [m for m in fine.get_submodule("layer4").modules() if isinstance(m, nn.Conv2d)]
    assert {layer.dilation for layer in layers} == {(1, 1)}


@pytest.mark.parametrize("name", ["convnext_tiny", "mobilenetv3_small_050"])
def test_other_networks_keep_their_strides(name):
    assert maps(backbones.build(name)).ndim == 4
    with pytest.raises(ReidError, match=f"last_stride: 1 is only for .* not for `{name}`"):
        backbones.build(name, last_stride=1)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        pytest.param("resnet5", {}, "timm has no `resnet5`; did you mean resnet50", id="no name"),
        pytest.param("resnet50.tv", {}, r"no weights `resnet50.tv` \(it has .*tv_in1k", id="tag"),
        pytest.param("vgg11", TINY, "vgg11 does not take these options", id="options"),
    ],
)
def test_what_timm_lacks_is_named(name, options, message):
    with pytest.raises(ReidError, match=message):
        backbones.build(name, **options)


# -- weights of a file -----------------------------------------------------------------------


@pytest.mark.parametrize("form", ["safetensors", "pt", "nested", "published", "classifier"])
def test_a_file_s_weights_are_taken_but_for_the_classifier(tmp_path: Path, form: str):
    source = tiny()
    state = dict(source.state_dict())
    path = tmp_path / "start.pt"
    if form == "safetensors":
        path = tmp_path / "start.safetensors"
        save_file(state, path)
    elif form == "nested":
        torch.save({"state_dict": state, "epoch": 3}, path)
    elif form == "published":
        whole = {f"backbone.{name}": value for name, value in state.items()}
        torch.save({**whole, "classifier.weight": torch.zeros(3, 16)}, path)
    elif form == "classifier":
        torch.save(
            {**state, "fc.weight": torch.zeros(1000, 16), "fc.bias": torch.zeros(1000)}, path
        )
    else:
        torch.save(state, path)
    torch.manual_seed(1)
    trunk = backbones.build("resnet10t", str(path), **TINY)
    torch.testing.assert_close(trunk.state_dict(), source.state_dict(), rtol=0, atol=0)


class Anything:
    """Not a tensor: a file that holds one needs full unpickling."""


@pytest.mark.parametrize(
    ("content", "message"),
    [
        pytest.param(None, "no such file; `weights` names", id="missing"),
        pytest.param(
            {"layer1.weight": torch.zeros(1)}, "not weights of resnet10t .lacks", id="other"
        ),
        pytest.param([1, 2], "holds no state dict", id="no state"),
        pytest.param({"a": Anything()}, "needs full unpickling", id="pickle"),
        pytest.param(b"nonsense", "not readable as safetensors", id="broken"),
        pytest.param(b"", "not readable as weights .the file is empty", id="empty"),
    ],
)
def test_files_that_do_not_fit_are_refused(tmp_path: Path, content, message):
    path = tmp_path / "start.pt"
    if isinstance(content, bytes):
        path = tmp_path / "start.safetensors"
        path.write_bytes(content)
    elif content is not None:
        torch.save(content, path)
    with pytest.raises(ReidError, match=message):
        backbones.build("resnet10t", str(path), **TINY)


def test_weights_of_another_width_are_refused(tmp_path: Path):
    wide = backbones.build("resnet10t", channels=(8, 8, 16, 32))
    torch.save(wide.state_dict(), tmp_path / "wide.pt")
    with pytest.raises(ReidError, match=r"wide.pt: .*size mismatch"):
        backbones.build("resnet10t", str(tmp_path / "wide.pt"), **TINY)


# -- timm's own weights ----------------------------------------------------------------------


HUB = "https://huggingface.co/timm/resnet50.tv_in1k/resolve/main/model.safetensors"


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("resnet50.tv_in1k", f"weights: {HUB} could not be downloaded"),
        ("resnet50.tv_in1k", "data/weights/resnet50.tv_in1k.safetensors, and set `weights:` to"),
        ("legacy_seresnet50.in1k", "https://github.com/.*/se_resnet50-ce0d4300.pth could not"),
    ],
)
def test_without_a_network_one_line_says_what_to_fetch(monkeypatch, name, words):
    monkeypatch.setattr(backbones, "_answers", lambda address: False)
    monkeypatch.setattr("huggingface_hub.try_to_load_from_cache", lambda *_: None)
    monkeypatch.setattr("torch.hub.get_dir", lambda: "nowhere")
    with pytest.raises(ReidError, match=words) as caught:
        backbones.build(name, "pretrained")
    assert "\n" not in str(caught.value)


def test_a_network_without_published_weights_says_so():
    with pytest.raises(ReidError, match="no pretrained weights for `resnet9`"):
        backbones._source("resnet9", None)


def test_an_address_that_does_not_answer(monkeypatch):
    def refuse(*_args, **_options):
        raise OSError("no route")

    monkeypatch.setattr("socket.create_connection", refuse)
    monkeypatch.setattr(backbones, "getproxies", dict)
    assert not backbones._answers("https://huggingface.co/x")
    monkeypatch.setattr(backbones, "getproxies", lambda: {"https": "http://proxy"})
    assert backbones._answers("https://huggingface.co/x")


def test_weights_in_the_hub_s_cache_need_no_network(tmp_path: Path, monkeypatch):
    source = backbones.build("resnet10t")
    path = tmp_path / "model.safetensors"
    state = {**source.state_dict(), "fc.weight": torch.ones(1000, 512), "fc.bias": torch.ones(1000)}
    save_file(state, path)
    monkeypatch.setattr("huggingface_hub.try_to_load_from_cache", lambda *_: str(path))
    monkeypatch.setattr(backbones, "_answers", lambda address: pytest.fail("asked the network"))
    trunk = backbones.build("resnet10t", "pretrained")
    torch.testing.assert_close(trunk.state_dict(), source.state_dict(), rtol=0, atol=0)


def test_stages_of_too_few_channels_are_refused():
    with pytest.raises(
        ReidError, match=r"^channels: at least 8 in each stage, not \(4, 8, 8, 8\)$"
    ):
        backbones.build("resnet10t", channels=(4, 8, 8, 8))
