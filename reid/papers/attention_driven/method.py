"""How the part network is computed: samples, network, losses, recipe, test."""

from __future__ import annotations

from reid.papers.attention_driven import cost
from reid.papers.attention_driven.exported import describe
from reid.papers.attention_driven.masks import masks
from reid.papers.attention_driven.network import PartNetwork, build
from reid.papers.attention_driven.params import Params
from reid.papers.attention_driven.pretraining import PRETRAINING
from reid.papers.attention_driven.recipe import (
    embed,
    learning_rate,
    loss,
    optimizer,
    sampler,
    training_logits,
)
from reid.papers.attention_driven.samples import augment, normalize, view
from reid.papers.contract import Method

METHOD: Method[Params, PartNetwork] = Method(
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
    attention_maps=masks,
    pretraining=PRETRAINING,
)
