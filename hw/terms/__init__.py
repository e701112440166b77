"""From weight codes to terms."""

from .column import ColumnTerms
from .decoder import TermDecoder, bit_layout, term_layout
from .pairs import PairDecoder
from .special import SpecialTerms, SpecialValues, special_ports

__all__ = [
    "ColumnTerms",
    "PairDecoder",
    "SpecialTerms",
    "SpecialValues",
    "TermDecoder",
    "bit_layout",
    "special_ports",
    "term_layout",
]
