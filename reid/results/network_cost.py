"""What a network costs: parameters, multiply-adds and output sizes, part by part.

A multiply-add is one multiplication and one addition in a convolution, a fully connected layer or
another product of matrices, half of what torch's FlopCounterMode counts; batch normalisation,
activations, pooling and sums are not counted, as is the custom.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from reid.papers import PAPERS
from reid.project.errors import ReidError


class Line(NamedTuple):
    """One module with all that it holds."""

    name: str
    parameters: int
    weights: int  # of convolutions and fully connected layers: no biases, no normalisation
    multiply_adds: int  # for one sample
    output: tuple[int, ...]  # shape of the last tensor it gave, without the batch


def summarize(module: nn.Module, example: Any, depth: int = 1) -> list[Line]:
    """One line per submodule down to `depth` levels, then `total`, from one pass over `example`.

    `example` is a batch of one sample, as `module.forward` takes it; it is run in eval mode
    without gradients. A module that runs twice counts twice. `total` has the parameters that no
    submodule holds, too.
    """
    flops, outputs = _run(module, example)
    root = type(module).__name__  # the counter's name of the module, before those of its parts
    names = [n for n, _ in module.named_modules() if n and n.count(".") < depth]
    lines = [
        _line(name, part, _multiply_adds(f"{root}.{name}", part, flops), outputs)
        for name, part in ((name, module.get_submodule(name)) for name in names)
    ]
    return [*lines, _line("total", module, sum(flops["Global"].values()) // 2, outputs)]


def _run(
    module: nn.Module, example: Any
) -> tuple[dict[str, dict[Any, int]], dict[nn.Module, tuple[int, ...]]]:
    """Floating-point operations by module and operator, two a multiply-add; shapes of outputs."""
    outputs: dict[nn.Module, tuple[int, ...]] = {}

    def keep_shape(layer: nn.Module, _: Any, output: Any) -> None:
        if isinstance(output, Tensor):
            outputs[layer] = tuple(output.shape[1:])

    hooks = [layer.register_forward_hook(keep_shape) for layer in module.modules()]
    training = module.training
    try:
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            module.eval()(example)
    finally:
        module.train(training)
        for hook in hooks:
            hook.remove()
    return {"Global": {}, **counter.get_flop_counts()}, outputs


def _multiply_adds(name: str, module: nn.Module, flops: Mapping[str, Mapping[Any, int]]) -> int:
    """Of a module's calls; of its parts where it is a container that is not called itself."""
    parts = (_multiply_adds(f"{name}.{n}", part, flops) for n, part in module.named_children())
    return max(sum(flops.get(name, {}).values()) // 2, sum(parts))


def _line(
    name: str, module: nn.Module, multiply_adds: int, outputs: Mapping[nn.Module, tuple[int, ...]]
) -> Line:
    return Line(
        name,
        sum(p.numel() for p in module.parameters()),
        sum(m.weight.numel() for m in module.modules() if isinstance(m, nn.Conv2d | nn.Linear)),
        multiply_adds,
        outputs.get(module, ()),
    )


def paper_summary(paper: str) -> dict[str, list[dict[str, Any]]]:
    """Titled tables of a paper's network at its full size, beside what the paper prints."""
    if paper not in PAPERS:
        raise ReidError(f"no paper `{paper}` (there are {', '.join(PAPERS)})")
    written = {
        "attention_driven": attention_driven,
        "implicit_attention": implicit_attention,
        "strong_baseline": implicit_attention,
        "multimodal_attention": multimodal_attention,
        "mutual_attention": mutual_attention,
        "attentive_convlstm": attentive_convlstm,
    }
    return written[paper]()


def attention_driven() -> dict[str, list[dict[str, Any]]]:
    """Table 12 by each reading, and where the full model's parameters and multiply-adds lie."""
    from reid.papers.attention_driven.paper import TABLES, Params

    compared = []
    for name, model in (("Base", "aligned"), ("Full", "intra_inter")):
        numbers = TABLES[12].row(name).printed["384x192"]
        compared.append(
            {
                "network": f"{name}, as printed",
                "parameters (M)": f"{numbers['parameters_m']:.1f}",
                "conv and FC weights (M)": "",
                "without FC-reduce (M)": "",
                "multiply-adds (G)": f"{numbers['multiply_adds'] / 1e9:.2f}",
            }
        )
        for shortcut in ("parameter_free", "projection"):
            params = Params.model_validate({"model": model, "shortcut": shortcut})
            compared.append(
                {
                    "network": f"{name}, {shortcut} shortcuts",
                    **_cost(attention_driven_lines(params)),
                }
            )
    alike = ("parts.1", "parts.2", "parts.3", "norm", "whole.conv2.")
    lines = attention_driven_lines(Params())
    parts = _parts([line for line in lines if not line.name.startswith(alike)])
    return {
        "Table 12, at 384x192, without classifiers": compared,
        "The full network, projection shortcuts; parts.0 stands for the four parts": parts,
    }


def attention_driven_lines(params: Any, depth: int = 3) -> list[Line]:
    """`summarize` of the part network without its classifiers, at the sizes of `params`."""
    from reid.papers.attention_driven.paper import PARTS, build

    network = build(params, classes=1)
    network.classifiers = nn.ModuleList(nn.Identity() for _ in network.classifiers)
    whole = torch.zeros(1, 3, params.height, params.width)
    parts = torch.zeros(1, len(PARTS), 3, params.part_height, params.part_width)
    lines = summarize(network, {"whole": whole, "parts": parts}, depth)
    return [line for line in lines if line.parameters]


def _parts(lines: list[Line]) -> list[dict[str, Any]]:
    return [
        {
            "part": line.name,
            "parameters (M)": f"{line.parameters / 1e6:.3f}",
            "multiply-adds (M)": f"{line.multiply_adds / 1e6:.1f}",
            "output": " x ".join(map(str, line.output)),
        }
        for line in lines
    ]


def _cost(lines: list[Line]) -> dict[str, str]:
    total = lines[-1]
    reduce = sum(line.parameters for line in lines if line.name.endswith("reduce"))
    return {
        "parameters (M)": f"{total.parameters / 1e6:.2f}",
        "conv and FC weights (M)": f"{total.weights / 1e6:.2f}",
        "without FC-reduce (M)": f"{(total.parameters - reduce) / 1e6:.2f}",
        "multiply-adds (G)": f"{total.multiply_adds / 1e9:.2f}",
    }


def implicit_attention() -> dict[str, list[dict[str, Any]]]:
    """The strong baseline's cost, of which the paper prints nothing, and where it lies."""
    from reid.papers.implicit_attention.paper import Params

    compared = []
    for stride in (1, 2):
        params = Params.model_validate({"last_stride": stride})
        total = implicit_attention_lines(params)[-1]
        compared.append(
            {
                "network": f"{params.backbone}, last stride {stride}",
                "parameters (M)": f"{total.parameters / 1e6:.2f}",
                "multiply-adds (G)": f"{total.multiply_adds / 1e9:.2f}",
            }
        )
    parts = _parts(implicit_attention_lines(Params(), 2))
    return {
        f"At {params.height}x{params.width}, without classifier; swaps cost nothing at a test": (
            compared
        ),
        "The network with last stride 1": parts,
    }


def implicit_attention_lines(params: Any, depth: int = 1) -> list[Line]:
    """`summarize` of the strong baseline without its classifier, at the size of `params`."""
    from reid.papers.implicit_attention.paper import build

    network = build(params.model_copy(update={"weights": ""}), classes=1)
    network.classifier = nn.Identity()  # pyright: ignore[reportAttributeAccessIssue]
    example = {"image": torch.zeros(1, 3, params.height, params.width)}
    return [line for line in summarize(network, example, depth) if line.parameters]


def multimodal_attention() -> dict[str, list[dict[str, Any]]]:
    """What the two encoders cost, and attention beside them; the paper prints nothing of it."""
    from reid.papers.multimodal_attention.paper import Params

    compared = []
    for name, model in (("MAT", "mat"), ("RGB-D-CNN", "rgb_d_cnn")):
        total = multimodal_attention_lines(Params.model_validate({"model": model}))[-1]
        compared.append(
            {
                "network": name,
                "parameters (M)": f"{total.parameters / 1e6:.2f}",
                "multiply-adds (G)": f"{total.multiply_adds / 1e9:.2f}",
            }
        )
    return {
        "At 227x227, without classifiers": compared,
        "MAT": _parts(multimodal_attention_lines(Params())),
    }


def multimodal_attention_lines(params: Any, depth: int = 2) -> list[Line]:
    """`summarize` of a two-phase model without classifiers; on the meta device: no values."""
    from reid.papers.multimodal_attention.paper import build

    with torch.device("meta"):
        network = build(params, classes=1)
        for encoder in network.encoders.values():
            encoder.fc8 = None  # pyright: ignore[reportAttributeAccessIssue, reportArgumentType]
        network.classifier = nn.Identity()
        pair = {m: torch.zeros(1, 3, params.side, params.side) for m in params.modalities}
        return [line for line in summarize(network, pair, depth) if line.parameters]


def mutual_attention() -> dict[str, list[dict[str, Any]]]:
    """What a second stream and attention cost; the paper prints nothing of it."""
    from reid.papers.mutual_attention.paper import Params

    compared = []
    for name, values in (
        ("one stream, pooling", {"model": "one_stream", "aggregation": "average"}),
        ("two streams, no attention, pooling", {"model": "two_stream", "aggregation": "average"}),
        ("gated one stream, pooling", {"model": "gated", "aggregation": "average"}),
        ("MA, pooling", {"aggregation": "average"}),
        ("MA, weighted addition", {}),
        ("MA, weighted addition, SE-ResNet-50", {"squeeze_excitation": True}),
    ):
        total = mutual_attention_lines(Params.model_validate(values))[-1]
        compared.append(
            {
                "network": name,
                "parameters (M)": f"{total.parameters / 1e6:.2f}",
                "multiply-adds (G)": f"{total.multiply_adds / 1e9:.2f}",
            }
        )
    params = Params()
    return {
        f"A clip of {params.sequence_length} frames at {params.height}x{params.width}, without "
        "classifier": compared,
        "MA, weighted addition": _parts(mutual_attention_lines(params, 2)),
    }


def mutual_attention_lines(params: Any, depth: int = 1) -> list[Line]:
    """`summarize` of a clip's network without its classifier; on the meta device: no values."""
    from reid.papers.mutual_attention.paper import build

    with torch.device("meta"):
        network = build(params.model_copy(update={"weights": ""}), classes=1)
        network.classifier = nn.Identity()  # pyright: ignore[reportAttributeAccessIssue]
        size = params.sequence_length, params.height, params.width
        channels = {"image": 3, "flow": params.flow_channels}
        clip = {n: torch.zeros(1, size[0], channels[n], *size[1:]) for n in params.views}
        return [line for line in summarize(network, clip, depth) if line.parameters]


def attentive_convlstm() -> dict[str, list[dict[str, Any]]]:
    """The siamese network's parts for one clip, and what attention adds."""
    from reid.papers.attentive_convlstm.paper import Params, build

    def lines(params: Any, depth: int) -> list[Line]:
        network = build(params, classes=150)
        clip = {"image": torch.zeros(1, params.length, 5, *params.size)}
        return [line for line in summarize(network, clip, depth) if line.parameters]

    params = Params()
    compared = []
    for filters in range(5):
        total = lines(Params(attention_filters=filters), 1)[-1]
        compared.append(
            {
                "filters": filters,
                "parameters (M)": f"{total.parameters / 1e6:.3f}",
                "multiply-adds (G)": f"{total.multiply_adds / 1e9:.3f}",
            }
        )
    title = f"A clip of {params.length} frames, 150 persons"
    return {title: compared, f"{params.attention_filters} filters": _parts(lines(params, 2))}
