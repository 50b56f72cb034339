"""The paper's sections of the report: scores by a clip's frames, and what networks see."""

from reid.papers.mutual_attention.sections import activations, lengths
from reid.report.blocks import Sections

SECTIONS = Sections(
    scores=(lengths.by_length,),
    looks=(activations.activations,),
)
