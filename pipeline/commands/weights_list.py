"""`reid weights`: of every network backend, every build that runs a network, every training."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from pipeline.backends import weights
from pipeline.backends.checkpoints import downloads_folder, file_hash, file_name
from pipeline.backends.choices import NETWORKS, Choice, Pin, choose, pins, world_file
from pipeline.stages import stage as find_stage
from reid.papers import PAPERS
from reid.papers.pretraining import WORLD
from reid.project import params
from reid.project.errors import ReidError
from reid.project.layout import Project

OWN = "Apache-2.0, this project's"
LICENCES = {  # of what a library offers; code and weights where they are not one
    "torchvision": "BSD-3-Clause; trained on COCO",
    "detectron2": "code Apache-2.0; weights CC BY-SA 3.0; trained on COCO",
    "ultralytics": "AGPL-3.0; trained on COCO",
    "mmpose": "Apache-2.0; trained on COCO",
    "ptlflow": "code Apache-2.0; each model's own: see its folder in ptlflow",
}
LITEFLOWNET = "LiteFlowNet: for research only; weights: none stated"


def listing(project: Project) -> list[dict[str, Any]]:
    """A line for each network backend's own weights and the world's, each build, each experiment.

    `there` says whether the file lies where it is looked for; `megabytes` and `sha256` are None,
    and `address` is '' or says what is amiss, where they are not known. Nothing is downloaded. A
    library is loaded where its address is not pinned yet.
    """
    pinned = pins(project.root)
    stages = [
        _line(choice, build, project.root, pinned)
        for build, choice in (*_backends(), *_builds(project))
    ]
    return [*stages, *_trainings(project)]


def _backends() -> Iterator[tuple[str, Choice]]:
    """Each backend with its stage's default weights, and with the world's where it has some."""
    for name, network in NETWORKS.items():
        stage, backend = name.split("_", 1)
        settings = find_stage(stage).params()
        yield "", choose(stage, backend, settings)
        if network.world:
            settings = settings.model_copy(update={"weights": "world"})
            yield "", choose(stage, backend, settings)


def _builds(project: Project) -> Iterator[tuple[str, Choice]]:
    """The builds of params.yaml that run a network."""
    loaded = params.load(project.root)
    for stage in dict.fromkeys(name.split("_")[0] for name in NETWORKS):
        for build in params.section(loaded, stage, "on"):
            found = params.stage_params(loaded, stage, build, find_stage(stage).params)
            if f"{stage}_{found.backend}" in NETWORKS:
                yield build, choose(stage, found.backend, found)


def _trainings(project: Project) -> Iterator[dict[str, Any]]:
    """What each experiment of params.yaml begins from; the network library is loaded for it."""
    loaded = params.load(project.root)
    names = [name for paper in PAPERS for name in params.section(loaded, paper, "on")]
    if not names or find_spec("torch") is None:
        return
    from reid import experiments
    from reid.nn import backbones

    for name in names:
        experiment = experiments.load(project, name)
        model = str(getattr(experiment.params, "backbone", "") or "")
        of_backbone, *others = experiment.paper.weights(experiment.params) or [""]
        for start, whole in [(of_backbone, True), *((each, False) for each in others if each)]:
            line: dict[str, Any] = {
                "stage": "train", "backend": experiment.paper.name, "build": name, "model": model,
                "weights": start or "none: from scratch", "file": "", "address": "",
                "licence": "" if not start else "the file's own",
            }  # fmt: skip
            path = project.root / start if start else None
            if whole and getattr(experiment.params, "weights", "") == WORLD:
                line |= {"weights": WORLD, "licence": OWN}
            if whole and start == backbones.PRETRAINED:
                published = backbones.published(model)
                path = published.file
                line |= {"address": published.address, "licence": published.licence}
            there = path is not None and path.is_file()
            yield line | {
                "file": str(path or ""), "there": there,
                "megabytes": round(path.stat().st_size / 1e6, 1) if path and there else None,
                "sha256": file_hash(path) if path and there else None,
            }  # fmt: skip


def _line(choice: Choice, build: str, root: Path, pinned: dict[str, Pin]) -> dict[str, Any]:
    pin = pinned.get(choice.key) if choice.kind == "pretrained" else None
    address, path = _where(choice, root, pin)
    there = path is not None and path.is_file()
    size = path.stat().st_size if path and there else pin.bytes if pin else None
    return {
        "stage": choice.stage,
        "backend": choice.backend,
        "build": build,
        "model": choice.model,
        "weights": choice.weights,
        "file": str(path or ""),
        "there": there,
        "megabytes": None if size is None else round(size / 1e6, 1),
        "licence": _licence(choice),
        "sha256": pin.sha256 if pin else file_hash(path) if path and there else None,
        "address": address,
    }


def _where(choice: Choice, root: Path, pin: Pin | None) -> tuple[str, Path | None]:
    """The address of a download, or what is amiss with it; and the file that is looked for."""
    if choice.kind == "world":
        return "", world_file(choice)
    if choice.kind != "pretrained":
        return "", root / choice.weights if choice.kind == "path" else None
    if pin is None and find_spec(choice.network.library) is None:
        return f"needs {choice.network.library}", None
    try:
        address = pin.address if pin else weights.address_of(choice)
    except ReidError as error:
        return str(error), None
    return address, downloads_folder() / file_name(address)


def _licence(choice: Choice) -> str:
    if choice.kind == "world":
        return OWN
    if choice.kind != "pretrained":
        return "" if choice.kind == "random" else "the file's own"
    if choice.model.startswith("liteflownet"):
        return f"{LICENCES['ptlflow'].split(';')[0]}; {LITEFLOWNET}"
    return LICENCES[choice.network.library]
