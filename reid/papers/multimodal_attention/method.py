"""How MAT is computed: samples, network, losses, recipe, test."""

from __future__ import annotations

from reid.papers.contract import Method
from reid.papers.multimodal_attention import cost
from reid.papers.multimodal_attention.exported import describe
from reid.papers.multimodal_attention.network import MultimodalNetwork, attention_maps, build
from reid.papers.multimodal_attention.params import Params
from reid.papers.multimodal_attention.pretraining import PRETRAINING
from reid.papers.multimodal_attention.recipe import (
    begin_epoch,
    embed,
    learning_rate,
    loss,
    optimizer,
    sampler,
    training_logits,
)
from reid.papers.multimodal_attention.samples import augment, normalize, view

METHOD: Method[Params, MultimodalNetwork] = Method(
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
    begin_epoch=begin_epoch,
    attention_maps=attention_maps,
    pretraining=PRETRAINING,
)
