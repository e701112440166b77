"""From weight codes to terms."""

from .column import ColumnTerms
from .decoder import TermDecoder, packed_term, term_layout
from .pairs import PairDecoder
from .special import SpecialTerms, SpecialValues, special_ports

__all__ = [
    "ColumnTerms",
    "PairDecoder",
    "SpecialTerms",
    "SpecialValues",
    "TermDecoder",
    "packed_term",
    "special_ports",
    "term_layout",
]
