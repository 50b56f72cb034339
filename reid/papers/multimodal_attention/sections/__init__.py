"""The paper's sections of the report: curves of its models, and what attention weighs up."""

from reid.papers.multimodal_attention.sections import attention, curves
from reid.report.blocks import Sections

SECTIONS = Sections(
    scores=(curves.curves,),
    looks=(attention.maps,),
)
