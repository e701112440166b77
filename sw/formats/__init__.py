"""Number formats: levels, codes, packing and terms, each defined once."""

from .bitmod import bitmod_custom
from .digits import Term, TermTable
from .floats import FloatLayout, float_layout
from .format import FormatFamily, NumberFormat
from .multiplier import multiplier_terms
from .tables import families, get_family, serial_families
from .terms import (
    family_terms,
    fitting_terms,
    reachable_terms,
    smallest_pe,
    term_table,
)

__all__ = [
    "FloatLayout",
    "FormatFamily",
    "NumberFormat",
    "Term",
    "TermTable",
    "bitmod_custom",
    "families",
    "family_terms",
    "fitting_terms",
    "float_layout",
    "get_family",
    "multiplier_terms",
    "reachable_terms",
    "serial_families",
    "smallest_pe",
    "term_table",
]
