"""The paper's sections of the report: what its attention falls on."""

from reid.papers.attentive_convlstm.sections import attention
from reid.report.blocks import Sections

SECTIONS = Sections(
    looks=(attention.places,),
)
