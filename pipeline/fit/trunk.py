"""`reid fit-trunk`: renders a crowd, and fits a paper's small network to tell its persons apart.

Writes  <out>/<paper>.safetensors, what the paper's network begins with, in half precision; it names
        the parameters whose layers and channels it has. A fit that was stopped goes on.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from pipeline.fit import crowd
from reid.project.layout import Project, write_atomically
from reid.project.threads import cores


def fit_trunk(
    paper: str, project: Project, dataset: str, *,
    out: Path, epochs: int = 0, device: str = "auto",
    say: Callable[[str], None] = lambda line: None,
) -> Path:  # fmt: skip
    """Fit a paper's network at the scale of a data set; 0 `epochs` are the recipe's own.

    Returns the file of weights.
    """
    from safetensors.torch import save

    from reid.experiments import network_params
    from reid.nn.device import device_of
    from reid.nn.weights import FITS, read_state
    from reid.papers import paper_of
    from reid.training.pretrain import pretrain, pretraining_of

    chosen = paper_of(paper)
    pretraining = pretraining_of(chosen)
    plain = {**pretraining.plain, "weights": ""}  # a scale may begin with what is fitted here
    params = network_params(project, paper, dataset).model_copy(update=plain)
    # What it cannot be built of, or fitted on, is said before a crowd is rendered.
    pretraining.build(params, 2)
    device_of(device)
    update = {"epochs": epochs} if epochs else {}
    recipe = pretraining.of_crowd.model_copy(update=update)
    root = crowd.render(project.work / "fit" / "crowd", pretraining.crowd, cores())
    folder = pretrain(project, root, chosen, params, recipe, device, say, kind="trunk")
    halves = {
        name: (value.half() if value.is_floating_point() else value.clone()).contiguous()
        for name, value in read_state(folder / "weights.pt").items()
    }
    fits = {k: v for k, v in params.model_dump(mode="json").items() if k in pretraining.fits}
    path = out / f"{paper}.safetensors"
    write_atomically(path, save(halves, {FITS: json.dumps(fits)}))
    return path
