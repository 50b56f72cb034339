"""Backbones from timm by name, as trunks that give a feature map, and the weights they start from.

Any timm network that ends in a map (B, C, h, w) will do; `last_stride` 1 leaves the last stage of
a ResNet or SE-ResNet at the size of the stage before, as person re-identification likes it.
"""

from __future__ import annotations

import difflib
import socket
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlparse
from urllib.request import getproxies

import torch
from torch import nn

from reid.nn.weights import fill, one_line, read_state
from reid.project.errors import ReidError

PRETRAINED = "pretrained"  # in place of a file: what timm itself downloads for the name
FILE = "model.safetensors"  # a network's weights on the hub
# With fewer, torch 2.14's 1x1 convolutions of stride 2 write beside their memory when they go
# backward, channels last, on processors without AVX-512.
FEWEST = 8
OWN = "backbone."  # prefix of a trunk's names in a network that `reid train` published


def build(name: str, weights: str = "", last_stride: int = 2, **options: Any) -> nn.Module:
    """A trunk: (B, 3, H, W) to (B, `head_hidden_size`, h, w), without pooling and classifier.

    `weights` is empty (random), `pretrained` (timm's download for exactly this name) or a file with
    a state dict. `options` go to timm as they are, such as a ResNet's `channels`.
    """
    trunk = _create(name, weights == PRETRAINED, options)
    if weights not in ("", PRETRAINED):
        load(trunk, name, Path(weights))
    if last_stride == 1:
        keep_last_size(trunk, name)
    return trunk


def _create(name: str, pretrained: bool, options: dict[str, Any]) -> Any:
    import timm

    known = _config(name)
    if min(options.get("channels") or [FEWEST]) < FEWEST:
        raise ReidError(f"channels: at least {FEWEST} in each stage, not {options['channels']}")
    if pretrained:
        options = {**options, "pretrained_cfg_overlay": _source(name, known)}
    try:
        return timm.create_model(
            name, pretrained=pretrained, num_classes=0, global_pool="", **options
        )
    except TypeError as error:
        raise ReidError(f"backbone: {name} does not take these options: {error}") from None
    except (OSError, RuntimeError, ValueError) as error:
        if pretrained:
            raise ReidError(_how_to_get(name, known, one_line(error))) from None
        raise ReidError(f"backbone: {name}: {one_line(error)}") from None


def _config(name: str) -> Any:
    """timm's configuration of a network's published weights; None where there are none."""
    import timm

    bare = name.partition(".")[0]
    if not timm.is_model(name):
        near = difflib.get_close_matches(bare, timm.list_models(), 3)
        hint = f"; did you mean {' or '.join(near)}?" if near else ""
        raise ReidError(f"backbone: timm has no `{name}`{hint}")
    try:
        return timm.get_pretrained_cfg(name)
    except RuntimeError:
        tags = ", ".join(timm.list_pretrained(f"{bare}.*")) or "none"
        raise ReidError(f"backbone: timm has no weights `{name}` (it has {tags})") from None


# -- timm's own weights ----------------------------------------------------------------------


class Published(NamedTuple):
    """timm's own weights of a network."""

    address: str  # '' where there are none
    file: Path | None  # where they lie, or None: not here yet
    licence: str  # as the hub or timm states it, '' where neither does


def published(name: str) -> Published:
    """What `weights: pretrained` means for a network; nothing is downloaded."""
    known = _config(name)
    address = _address(known)
    own = "" if known is None or known.hf_hub_id else _downloaded(address)
    file = Path(_cached(known) or own or "-")
    licence = str(getattr(known, "license", None) or "")
    return Published(address, file if file.is_file() else None, licence)


def _cached(known: Any) -> str | None:
    """The file of weights in the hub's cache, if it is there."""
    from huggingface_hub import try_to_load_from_cache

    if known is None or not known.hf_hub_id:
        return None
    cached = try_to_load_from_cache(known.hf_hub_id, FILE)
    return cached if isinstance(cached, str) else None


def _downloaded(address: str) -> Path:
    """Where torch keeps what it downloads from an address."""
    return Path(torch.hub.get_dir()) / "checkpoints" / Path(address).name


def _source(name: str, known: Any) -> dict[str, str]:
    """Where timm takes weights from: the hub's cache if they are there, else its own address.

    Without a connection this fails at once; the hub would try for most of a minute.
    """
    cached, address = _cached(known), _address(known)
    if cached is not None:
        return {"file": cached}
    if not address or not (_downloaded(address).is_file() or _answers(address)):
        raise ReidError(_how_to_get(name, known, "no answer"))
    return {}


def _address(known: Any) -> str:
    if known is not None and known.hf_hub_id:
        return f"https://huggingface.co/{known.hf_hub_id}/resolve/main/{FILE}"
    return (known and known.url) or ""


def _answers(address: str) -> bool:
    """Whether the host of an address can be reached; behind a proxy that is assumed."""
    if getproxies():
        return True
    try:
        socket.create_connection((str(urlparse(address).hostname), 443), timeout=5).close()
    except OSError:
        return False
    return True


def _how_to_get(name: str, known: Any, reason: str) -> str:
    address = _address(known)
    if not address:
        return f"weights: timm has no pretrained weights for `{name}`"
    return (
        f"weights: {address} could not be downloaded ({reason}). Fetch it on another machine, put "
        f"it anywhere, such as data/weights/{name}{Path(address).suffix}, and set `weights:` to "
        "that path; `weights: ''` trains from scratch"
    )


# -- a file's weights ------------------------------------------------------------------------


def load(trunk: nn.Module, name: str, path: Path) -> None:
    """Start from a state dict of this network; its classifier is left out, all else must fit.

    From a whole network that `reid train` published, the trunk is taken.
    """
    if not path.is_file():
        raise ReidError(
            f"{path}: no such file; `weights` names a state dict (.safetensors, .pt, .pth), or is "
            f"`{PRETRAINED}`, `world` where the paper has one, or '' for none"
        )
    state = read_state(path)
    if any(key.startswith(OWN) for key in state):
        state = {k.removeprefix(OWN): v for k, v in state.items() if k.startswith(OWN)}
    head: Any = getattr(trunk, "pretrained_cfg", {}).get("classifier", ())
    heads = tuple(f"{h}." for h in ((head,) if isinstance(head, str) else head or ()))
    kept = {k: v for k, v in state.items() if not k.startswith(heads)}
    fill(trunk, kept, path, name)


# -- the last stride -------------------------------------------------------------------------


def keep_last_size(trunk: Any, name: str) -> None:
    """Take the stride of 2 out of the last stage, in place; no weight changes its shape.

    Not timm's `output_stride`, which dilates the stage's other convolutions.
    Source: Luo et al., CVPRW 2019 ("Bag of tricks"), section 3.5.
    """
    last = trunk.get_submodule(trunk.feature_info[-1]["module"])
    layers = {n: m for n, m in last.named_modules() if not any(m.children())}
    strided = {n: m for n, m in layers.items() if getattr(m, "stride", 1) in (2, (2, 2))}
    if not strided or any(not _can_be_unstrided(layer) for layer in strided.values()):
        raise ReidError(f"last_stride: 1 is only for ResNets and SE-ResNets, not for `{name}`")
    for layer_name, layer in strided.items():
        if isinstance(layer, nn.Conv2d):
            layer.stride = (1, 1)
        else:  # the mean over 2 x 2 before a shortcut
            last.set_submodule(layer_name, nn.Identity())


def _can_be_unstrided(layer: nn.Module) -> bool:
    """Whether the layer's map keeps its size with a stride of 1."""
    if isinstance(layer, nn.Conv2d):
        return layer.padding == tuple(side // 2 for side in layer.kernel_size)
    return isinstance(layer, nn.AvgPool2d) and layer.kernel_size == 2
