"""What a training of the toy paper is told, and what it reads."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from reid.project.params import Strict


class Params(Strict):
    noise: float = Field(default=2.0, ge=0)  # standard deviation that a colour is changed by
    width: int = Field(default=8, ge=1)
    batch: int = Field(default=8, ge=1)
    epochs: int = Field(default=5, ge=1)
    learning_rate: float = Field(default=0.05, gt=0)
    distance: Literal["euclidean", "cosine"] = "euclidean"


def columns(params: Params) -> list[str]:
    return ["image", "toy_colour"]


def stages(params: Params) -> list[str]:
    return ["toy_colour"]
