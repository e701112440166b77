"""Number formats: levels, codes, packing and terms, each defined once."""

from .format import FormatFamily, NumberFormat
from .tables import families, get_family
from .terms import Term, TermTable, family_terms, term_table

__all__ = [
    "FormatFamily",
    "NumberFormat",
    "Term",
    "TermTable",
    "families",
    "family_terms",
    "get_family",
    "term_table",
]
