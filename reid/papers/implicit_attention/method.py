"""How the strong baseline with swaps is computed: samples, network, losses, recipe, test."""

from __future__ import annotations

from reid.papers.contract import Method
from reid.papers.implicit_attention import cost
from reid.papers.implicit_attention.exported import describe
from reid.papers.implicit_attention.network import StrongBaseline, build
from reid.papers.implicit_attention.params import Params
from reid.papers.implicit_attention.pretraining import PRETRAINING
from reid.papers.implicit_attention.recipe import (
    embed,
    learning_rate,
    loss,
    optimizer,
    sampler,
    together,
    training_logits,
)
from reid.papers.implicit_attention.samples import augment, combine, donors, normalize, view

METHOD: Method[Params, StrongBaseline] = Method(
    costs=cost.tables,
    describe=describe,
    view=view,
    augment=augment,
    normalize=normalize,
    build=build,
    optimizer=optimizer,
    learning_rate=learning_rate,
    sampler=sampler,
    loss=loss,
    training_logits=training_logits,
    embed=embed,
    donors=donors,
    combine=combine,
    together=together,
    pretraining=PRETRAINING,
)
