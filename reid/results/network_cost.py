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
