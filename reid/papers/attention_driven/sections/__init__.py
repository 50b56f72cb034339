"""The paper's sections of the report: what intra-attention weighs up."""

from reid.papers.attention_driven.sections import attention
from reid.report.blocks import Sections

SECTIONS = Sections(
    looks=(attention.maps,),
)
