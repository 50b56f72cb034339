"""Experiments: a paper's parameters on a data set, as params.yaml names them.

params.yaml has one section per paper: `with` holds for all its experiments, `scale.<data set>`
for those on that data set (the rendered worlds' smaller size), `on.<experiment>` for one.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, create_model

from reid.code import starts
from reid.code.fingerprint import Code
from reid.code.fingerprint import of as code_of
from reid.data.dataset import Data
from reid.data.dataset import open as open_data
from reid.papers import PAPERS, paper_of
from reid.papers.contract import Method, Paper
from reid.project import params as parameters
from reid.project.errors import ReidError
from reid.project.layout import Project, as_json, builder_of, key_of, sha256_of, write_atomically
from reid.project.names import unknown
from reid.project.params import Strict
from reid.shards.manifest import manifest_of


class Training(Strict):
    """What every paper's experiment has beside the paper's own parameters."""

    dataset: str
    builds: dict[str, str] = Field(default_factory=dict)  # of stages, where not the data set's own
    rows: str = ""  # the folder of the data set's rows below data/, read by dvc.yaml alone
    protocol: str = ""  # a rule of the data set by name, such as classic-01; its first by default
    seed: int = Field(0, ge=0, lt=2**63)
    val_identities: int = 0  # training identities held out; `best` is chosen on them
    validate_every: int = 10  # epochs
    checkpoint_every: int = 1  # epochs
    precision: Literal["auto", "32-true", "bf16-mixed", "16-mixed"] = "auto"  # auto: mixed on CUDA
    resident: Literal["auto", "device", "memory", "off"] = "auto"  # where prepared samples lie


NO_KEY = {"resident", "checkpoint_every", "rows"}  # change no result
UNSAID = {"builds", "protocol"}  # left out of a description where they are empty


@dataclass(frozen=True)
class Experiment:
    """One training: its name, the paper, and the checked parameters."""

    name: str
    paper: Paper[Any, Any]
    params: Any  # the paper's Params and Training in one

    @property
    def method(self) -> Method[Any, Any]:
        """What computes it; loads torch."""
        return self.paper.method()

    @property
    def other_builds(self) -> dict[str, str]:
        """The builds that are not the data set's own, by stage."""
        own = self.params.dataset
        return {stage: name for stage, name in self.params.builds.items() if name != own}

    def described(self) -> dict[str, Any]:
        """All parameters that change the result, as JSON holds them."""
        found = json.loads(self.params.model_dump_json(exclude=NO_KEY))
        found["builds"] = self.other_builds
        return {k: v for k, v in found.items() if v or k not in UNSAID}

    def trained(self) -> dict[str, Any]:
        """The parameters that change the training, not those of the test alone."""
        return {k: v for k, v in self.described().items() if k not in self.paper.test_only}

    def open(
        self, project: Project, dataset: str | None = None, protocol: str | None = None
    ) -> Data:
        """The rows that have all that the paper reads: of its data set, or of another one.

        Their roles are those of the experiment's protocol, on another data set of its first one.
        """
        return self._rows(project, dataset, protocol).complete()

    def _rows(
        self, project: Project, dataset: str | None, protocol: str | None, *, verify: bool = True
    ) -> Data:
        own = dataset in (None, self.params.dataset)
        name, builds = (self.params.dataset, self.params.builds) if own else (str(dataset), {})
        read = {stage: build for stage, build in builds.items() if stage in self.stages}
        data = open_data(project.root / "data", name, self.columns, read, verify=verify)
        return data.under(protocol or (self.params.protocol if own else ""))

    def for_training(self, project: Project, data: Data) -> Data:
        """The same rows with what the training reads beside, null where a stage had none."""
        further = self.paper.training_columns(self.params)
        if not further:
            return data
        columns = [*self.columns, *further]
        root, name = project.root / "data", self.params.dataset
        stages = [*self.stages, *self.paper.training_stages(self.params)]
        builds = {stage: b for stage, b in self.params.builds.items() if stage in stages}
        wider = open_data(root, name, columns, builds)
        return wider.under(data.rule).choose(data.index)

    @property
    def columns(self) -> list[str]:
        """What training and test read."""
        return self.paper.columns(self.params)

    @property
    def stages(self) -> list[str]:
        """The stages that these columns come from."""
        return self.paper.stages(self.params)

    def code(self, project: Project) -> Code:
        """The code that decides the training."""
        validated = self.params.val_identities > 0
        return code_of(starts.of_training(self.paper.name, validated), project.code)

    def test_code(self, project: Project) -> Code:
        """The code that decides features and metrics of the trained network."""
        return code_of(starts.of_evaluation(self.paper.name), project.code)

    def key(self, project: Project, code: Code | None = None) -> str:
        """A name for this training by the code as it is, or by another, on the data as it is."""
        code = code or self.code(project)
        parts = [self.paper.name, code.fingerprint, self.trained(), self._inputs(project)]
        weights = [project.root / name for name in self.paper.weights(self.params)]
        return key_of([*parts, *(sha256_of(path) for path in weights if path.is_file())])

    def training_rows(self, project: Project, columns: list[str]) -> Data:
        """The training rows that have other columns of the builds that it reads."""
        data = open_data(project.root / "data", self.params.dataset, columns, self.params.builds)
        return data.under(self.params.protocol).role("train").complete()

    def tested(
        self, project: Project, dataset: str | None = None, protocol: str | None = None
    ) -> list[Any]:
        """What `open` gives, as a key has it: the rule, the content hashes of every shard."""
        data = self._rows(project, dataset, protocol, verify=False)
        folders = {Path(str(s.folder)) for s in (data.base, *(s for s, _ in data.sources.values()))}
        return [data.protocol_in_force(), *(_content(folder) for folder in sorted(folders))]

    def choice(self, project: Project) -> list[Any]:
        """What decides values that are chosen from the data: code, content, all but the seed."""
        told = {key: value for key, value in self.described().items() if key != "seed"}
        return [self.paper.name, self.code(project).fingerprint, told, self._inputs(project)]

    def is_built(self, project: Project) -> bool:
        """Whether all that it reads is built."""
        return all((f / "manifest.json").is_file() for f in self._folders(project).values())

    def reads(self) -> dict[str, str]:
        """The builds that it reads, by stage."""
        dataset = self.params.dataset
        stages = [*self.stages, *self.paper.training_stages(self.params)]
        return {"ingest": dataset, **{s: self.params.builds.get(s, dataset) for s in stages}}

    def _folders(self, project: Project) -> dict[str, Path]:
        """Where what it reads lies, by stage."""
        return {stage: project.built(stage, name) for stage, name in self.reads().items()}

    def _inputs(self, project: Project) -> list[Any]:
        """The content hashes of every shard that the paper's columns come from."""
        dataset, folders = self.params.dataset, self._folders(project)
        names = {stage: self.params.builds.get(stage, dataset) for stage in folders}
        hints = {stage: f"reid {stage} {name}" for stage, name in names.items()}
        hints["ingest"] = builder_of(dataset)
        return [_content(folder, hints[stage]) for stage, folder in folders.items()]


def _content(folder: Path, hint: str = "dvc repro") -> list[str]:
    """The content hashes of a built folder's shards; `hint` is the command that builds it."""
    return [shard["sha256"] for shard in manifest_of(folder, hint)["shards"]]


@cache
def params_model(paper: str) -> type[Any]:
    """The paper's parameters and the trainer's in one checked model."""
    return create_model("Params", __base__=(Training, paper_of(paper).params))


def load(project: Project, name: str) -> Experiment:
    """The experiment that params.yaml calls `name`."""
    loaded = parameters.load(project.root)
    known = {e: paper for paper in PAPERS for e in parameters.section(loaded, paper, "on")}
    if name not in known:
        raise ReidError(f"params.yaml: {unknown('experiment', name, known)}")
    paper = known[name]
    own = parameters.section(loaded, paper, "on", name)
    values = {**_shared(loaded, paper, str(own.get("dataset"))), **own}
    checked = parameters.check(params_model(paper), values, f"{paper}.on.{name}")
    return _chosen(project, Experiment(name, paper_of(paper), checked))


def _shared(loaded: dict[str, Any], paper: str, dataset: str) -> dict[str, Any]:
    """What holds for every experiment of a paper on a data set."""
    at_scale = parameters.section(loaded, paper, "scale", dataset)
    return {**parameters.section(loaded, paper, "with"), **at_scale}


def variant(project: Project, paper: str, dataset: str, overrides: dict[str, Any]) -> Experiment:
    """A row of a paper's table: what holds on the data set, and the row's overrides.

    Its name says its parameters by a hash, so that equal rows are one training.
    """
    loaded = parameters.load(project.root)
    values = {**_shared(loaded, paper, dataset), **overrides, "dataset": dataset}
    checked = parameters.check(params_model(paper), values, paper)
    experiment = _chosen(project, Experiment("", paper_of(paper), checked))
    label = key_of([paper, experiment.described()])[:10]
    return replace(experiment, name=f"{dataset.replace('/', '-')}-{paper}-{label}")


def _chosen(project: Project, experiment: Experiment) -> Experiment:
    """The experiment with what its paper chooses from the training rows, once they are built.

    What was chosen is kept below `.work`, under the content that it was chosen from.
    """
    paper, params = experiment.paper, experiment.params
    if not (paper.left_to_choose(params) and experiment.is_built(project)):
        return experiment
    path = project.work / "chosen" / f"{key_of(experiment.choice(project))}.json"
    if path.is_file():
        values = json.loads(path.read_text("utf-8"))
    else:
        values = paper.choose(params, lambda columns: experiment.training_rows(project, columns))
        write_atomically(path, as_json(values))
    return replace(experiment, params=params.model_copy(update=values))


def network_params(project: Project, paper: str, dataset: str) -> Any:
    """A paper's parameters at the scale of a data set, or the paper's own where none is named.

    What every experiment has beside them, such as `builds`, is left away.
    """
    loaded = parameters.load(project.root)
    values = parameters.section(loaded, paper, "scale", dataset) if dataset else {}
    if dataset and dataset not in parameters.section(loaded, paper, "scale"):
        raise ReidError(f"params.yaml: {paper}.scale has no `{dataset}`")
    values = {k: v for k, v in values.items() if k not in Training.model_fields}
    return parameters.check(paper_of(paper).params, values, f"{paper}.scale.{dataset}")
