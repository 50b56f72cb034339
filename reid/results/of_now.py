"""Whether an evaluated run is of the parameters, the code and the data of now."""

from __future__ import annotations

from reid import experiments
from reid.papers import paper_of
from reid.project.errors import ReidError
from reid.project.params import check
from reid.results import evaluated as results
from reid.results.built import Run, Runs


def experiment_of_now(runs: Runs, run: Run, paper: str) -> experiments.Experiment | None:
    """The run as an experiment; None where it is not of `paper`, or of the data as built now."""
    if run.paper != paper:
        return None
    try:
        params = check(experiments.params_model(paper), run.params, run.name)
        experiment = experiments.Experiment(run.name, paper_of(paper), params)
        there = results.metrics_of(runs.built.project, experiment) is not None
        return experiment if there else None
    except ReidError:  # a parameter or a build that is there no more
        return None
