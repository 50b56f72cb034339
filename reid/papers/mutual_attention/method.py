"""How mutual attention is computed: samples, network, losses, recipe, test."""

from __future__ import annotations

from reid.papers.contract import Method
from reid.papers.mutual_attention import cost
from reid.papers.mutual_attention.exported import describe
from reid.papers.mutual_attention.network import VideoNetwork, attention_maps, build
from reid.papers.mutual_attention.params import Params
from reid.papers.mutual_attention.pretraining import PRETRAINING
from reid.papers.mutual_attention.recipe import (
    embed,
    learning_rate,
    loss,
    optimizer,
    sampler,
    together,
    training_logits,
)
from reid.papers.mutual_attention.samples import augment, normalize, view

METHOD: Method[Params, VideoNetwork] = Method(
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
    together=together,
    attention_maps=attention_maps,
    pretraining=PRETRAINING,
)
