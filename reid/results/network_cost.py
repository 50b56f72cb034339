"""What a network costs: parameters, multiply-adds and output sizes, part by part.

A multiply-add is one multiplication and one addition in a convolution or a fully connected layer;
batch normalisation, activations, pooling and sums are not counted, as is the custom.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from reid.papers import paper_of


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
    counted, outputs = _run(module, example)
    names = [n for n, _ in module.named_modules() if n and n.count(".") < depth]
    lines = [_line(name, module.get_submodule(name), counted, outputs) for name in names]
    return [*lines, _line("", module, counted, outputs)._replace(name="total")]


def _run(
    module: nn.Module, example: Any
) -> tuple[dict[nn.Module, int], dict[nn.Module, tuple[int, ...]]]:
    counted: dict[nn.Module, int] = {}
    outputs: dict[nn.Module, tuple[int, ...]] = {}

    def count(layer: nn.Module, _: Any, output: Any) -> None:
        if isinstance(output, Tensor):
            outputs[layer] = tuple(output.shape[1:])
        if isinstance(layer, nn.Conv2d | nn.Linear):
            per_value = layer.weight.numel() // layer.weight.shape[0]  # products in one value
            counted[layer] = counted.get(layer, 0) + per_value * output.numel()

    hooks = [layer.register_forward_hook(count) for layer in module.modules()]
    training = module.training
    try:
        with torch.no_grad():
            module.eval()(example)
    finally:
        module.train(training)
        for hook in hooks:
            hook.remove()
    return counted, outputs


def _line(
    name: str, module: nn.Module, counted: Mapping[nn.Module, int],
    outputs: Mapping[nn.Module, tuple[int, ...]],
) -> Line:  # fmt: skip
    layers = list(module.modules())
    return Line(
        name,
        sum(p.numel() for p in module.parameters()),
        sum(m.weight.numel() for m in layers if isinstance(m, nn.Conv2d | nn.Linear)),
        sum(counted.get(m, 0) for m in layers),
        outputs.get(module, ()),
    )


def paper_summary(paper: str) -> dict[str, list[dict[str, Any]]]:
    """Titled tables of a paper's network at its full size, beside what the paper prints."""
    return paper_of(paper).costs()


def total_of(line: Line) -> dict[str, str]:
    """A whole network's cost as a table shows it."""
    return {
        "parameters (M)": f"{line.parameters / 1e6:.2f}",
        "multiply-adds (G)": f"{line.multiply_adds / 1e9:.2f}",
    }


def by_part(lines: list[Line]) -> list[dict[str, Any]]:
    """A table of a network's parts."""
    return [
        {
            "part": line.name,
            "parameters (M)": f"{line.parameters / 1e6:.3f}",
            "multiply-adds (M)": f"{line.multiply_adds / 1e6:.1f}",
            "output": " x ".join(map(str, line.output)),
        }
        for line in lines
    ]
