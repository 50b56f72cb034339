"""How the attentive ConvLSTM is computed: samples, network, losses, recipe, test."""

from __future__ import annotations

from reid.papers.attentive_convlstm import cost
from reid.papers.attentive_convlstm.exported import describe
from reid.papers.attentive_convlstm.network import VideoNetwork, attention_maps, build
from reid.papers.attentive_convlstm.params import Params
from reid.papers.attentive_convlstm.recipe import (
    embed,
    feature_parts,
    learning_rate,
    loss,
    optimizer,
    sampler,
    together,
    training_logits,
)
from reid.papers.attentive_convlstm.samples import augment, normalize, view
from reid.papers.contract import Method

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
    feature_parts=feature_parts,
    attention_maps=attention_maps,
)
