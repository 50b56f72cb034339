"""The paper's sections of the report: viewpoints, swaps, and scores by their probability."""

from reid.papers.implicit_attention.sections import swap_scores, swaps, viewpoints
from reid.report.blocks import Sections

SECTIONS = Sections(
    data_set=(
        viewpoints.clusters,
        swaps.partners,
        swaps.sheet,
        swaps.made,
    ),
    scores=(swap_scores.by_probability,),
)
