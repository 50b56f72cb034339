"""Where the code of a training, a pretraining and an evaluation starts."""

from __future__ import annotations

from reid.code.fingerprint import Start

PAPERS = "reid.papers:PAPERS"
VALUES = ("Paper", "Method", "replace")  # what makes a paper
SHOWN = {  # fields of a `Paper` and its `Method` that are only shown, or decide other things
    "name", "tables", "claims", "costs", "describe", "attention_maps",
    "pretraining", "test_only", "stages", "weights", "scale", "left_open", "built", "made_by",
    "protocols",
}  # fmt: skip
TESTED = {"embed", "feature_parts", "pool"}  # fields that only the test uses
TRAINED = {  # fields that only the training uses
    "augment", "optimizer", "learning_rate", "sampler", "loss", "training_logits",
    "training_columns", "training_stages", "donors", "combine", "together", "begin_epoch",
    "left_to_choose", "choose",
}  # fmt: skip
KEYS = frozenset(  # methods of an experiment that make keys and descriptions, and change no row
    f"reid.experiments:Experiment.{name}"
    for name in (
        "key", "code", "test_code", "described", "trained", "other_builds", "_inputs", "_folders",
        "is_built", "choice", "stages", "tested",
    )
)  # fmt: skip
VALIDATION = frozenset({"reid.training.experiment_task:ExperimentTask.validate"})


def of_training(paper: str, validated: bool) -> Start:
    """What decides a paper's trained network; `validated`: identities are held out."""
    left_out = frozenset(SHOWN | ({"pool"} if validated else TESTED))
    roots = (
        PAPERS, "reid.experiments:Experiment", "reid.training.experiment_task:ExperimentTask",
        "reid.training.loop:Loop", "reid.training.devices:launched",
        "reid.training.run:description", "reid.training.published:save_weights",
    )  # fmt: skip
    return Start(
        roots, {PAPERS: (paper,)}, dict.fromkeys(VALUES, left_out),
        omitted=KEYS if validated else KEYS | VALIDATION,
    )  # fmt: skip


def of_pretraining(paper: str) -> Start:
    """What decides the weights that a paper's network is pretrained to."""
    unread = SHOWN - {"pretraining"} | TESTED | TRAINED - {"optimizer"}
    roots = (
        PAPERS, "reid.training.pretrain:PretrainTask", "reid.training.pretrain:ImageFolder",
        "reid.training.loop:Loop", "reid.training.devices:launched",
    )  # fmt: skip
    return Start(roots, {PAPERS: (paper,)}, dict.fromkeys(VALUES, frozenset(unread)))


def of_evaluation(paper: str) -> Start:
    """What decides the features and metrics of a paper's trained network."""
    left_out = frozenset(SHOWN | TRAINED)
    roots = (PAPERS, "reid.experiments:Experiment", "reid.evaluation.run:run")
    return Start(roots, {PAPERS: (paper,)}, dict.fromkeys(VALUES, left_out), omitted=KEYS)
