"""One file per paper: network, loss, recipe, and the paper's own tables."""

PAPERS = ("attention_driven",)
