"""Counts of small networks worked by hand, and the part network's beside the paper's."""

from __future__ import annotations

from functools import cache

import pytest
import torch
from torch import nn

from reid.nn.cost import summarize
from reid.papers import PAPERS
from reid.papers.attention_driven import cost
from reid.papers.attention_driven.paper import Params
from reid.project.errors import ReidError
from reid.results.network_cost import paper_summary


@cache
def lines(model="intra_inter", shortcut="projection"):
    params = Params.model_validate({"model": model, "shortcut": shortcut})
    found = cost.lines(params, depth=6)
    return {line.name: line for line in found}


def test_convolutions_and_linear_layers_by_hand():
    module = nn.Sequential(
        nn.Conv2d(3, 8, 3, 2, 1), nn.BatchNorm2d(8), nn.Flatten(), nn.Linear(8 * 4 * 2, 5)
    )
    module.train()
    conv, norm, flat, linear, total = summarize(module, torch.randn(1, 3, 8, 4))
    assert conv == ("0", 3 * 8 * 9 + 8, 3 * 8 * 9, 3 * 8 * 9 * 4 * 2, (8, 4, 2))
    assert norm == ("1", 16, 0, 0, (8, 4, 2))
    assert flat[1:4] == (0, 0, 0)
    assert linear == ("3", 64 * 5 + 5, 64 * 5, 64 * 5, (5,))
    assert total == ("total", 224 + 16 + 325, 216 + 320, 1728 + 320, (5,))
    assert module.training
    assert not module[0]._forward_hooks


def test_groups_and_repeated_runs_count_as_run():
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(4, 4, 1, groups=2, bias=False)

        def forward(self, x):
            return self.conv(self.conv(x))

    total = summarize(Twice(), torch.randn(1, 4, 3, 3))[-1]
    assert (total.weights, total.multiply_adds) == (8, 2 * 8 * 9)


def test_products_of_matrices_count_and_containers_hold_what_their_parts_do():
    class Attention(nn.Module):
        def __init__(self):
            super().__init__()
            self.both = nn.ModuleDict({"query": nn.Linear(4, 4), "key": nn.Linear(4, 4)})

        def forward(self, x):
            return self.both["query"](x) @ self.both["key"](x).mT

    both, total = summarize(Attention(), torch.randn(1, 5, 4))
    assert both.multiply_adds == 2 * 5 * 4 * 4
    assert total.multiply_adds == 2 * 5 * 4 * 4 + 5 * 5 * 4


@pytest.mark.parametrize(
    ("model", "shortcut", "parameters", "weights", "without_reduce", "multiply_adds"),
    [
        pytest.param("aligned", "parameter_free", 6.91, 6.88, 6.65, 1.92, id="base, free"),
        pytest.param("intra_inter", "parameter_free", 10.54, 10.46, 10.27, 2.35, id="full, free"),
        pytest.param("aligned", "projection", 7.27, 7.23, 7.00, 2.01, id="base, projection"),
        pytest.param("intra_inter", "projection", 10.89, 10.80, 10.62, 2.44, id="full, projection"),
    ],
)
def test_cost_at_full_size(
    model, shortcut, parameters, weights, without_reduce, multiply_adds
):  # fmt: skip
    found = lines(model=model, shortcut=shortcut)
    total = found["total"]
    reduce = sum(line.parameters for name, line in found.items() if name.endswith("reduce"))
    assert round(total.parameters / 1e6, 2) == parameters
    assert round(total.weights / 1e6, 2) == weights
    assert round((total.parameters - reduce) / 1e6, 2) == without_reduce
    assert round(total.multiply_adds / 1e9, 2) == multiply_adds


@pytest.mark.parametrize("shortcut", ["projection", "parameter_free"])
def test_intra_attention_costs_what_the_paper_says(shortcut):
    base, full = (lines(model=m, shortcut=shortcut)["total"] for m in ("inter", "intra_inter"))
    assert round((full.parameters - base.parameters) / 1e6, 2) == 3.62
    assert round((full.multiply_adds - base.multiply_adds) / 1e9, 3) == 0.430


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("whole.conv2", (64, 96, 48)),
        ("whole.conv3", (128, 48, 24)),
        ("whole.conv4", (256, 24, 12)),
        ("whole.conv5", (512, 24, 12)),
        ("whole.conv3.attention.down.1", (128, 12, 6)),
        ("whole.conv4.attention.down.0", (256, 12, 6)),
        ("whole.conv5.attention.down.0", (512, 12, 6)),
        ("parts.3.conv2", (32, 48, 48)),
        ("parts.3.conv3", (64, 24, 24)),
        ("parts.3.conv4", (128, 12, 12)),
        ("parts.3.conv5", (256, 12, 12)),
        ("parts.3.conv3.attention.down.1", (64, 6, 6)),
        ("parts.3.conv5.attention.down.0", (256, 6, 6)),
        ("whole.reduce", (256,)),
        ("parts.3.reduce", (128,)),
        ("inter", (4, 128)),
    ],
)
def test_map_sizes_at_full_size(name, shape):
    assert lines()[name].output == shape


def test_paper_summary_stands_beside_table_12():
    table, parts = paper_summary("attention_driven").values()
    shown = {row["network"]: row for row in table}
    assert shown["Full, as printed"]["multiply-adds (G)"] == "2.69"
    assert shown["Full, parameter_free shortcuts"]["conv and FC weights (M)"] == "10.46"
    assert {tuple(row) for row in table} == {tuple(table[0])}
    assert {tuple(row) for row in parts} == {tuple(parts[0])}
    with pytest.raises(ReidError, match="no paper `x`"):
        paper_summary("x")


def test_every_paper_has_a_summary():
    for paper in PAPERS:
        assert all(tables for tables in paper_summary(paper).values())


def test_a_clip_of_mutual_attention_at_full_size():
    (compared, parts) = paper_summary("mutual_attention").values()
    cost = {row["network"]: row["parameters (M)"] for row in compared}
    assert cost["one stream, pooling"] == "23.51"  # ResNet-50 without its classifier
    assert cost["MA, weighted addition"] == "72.19"
    assert parts[-1]["part"] == "total"
