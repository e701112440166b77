"""Number formats: levels, codes, packing and terms, each defined once."""

from .bitmod import bitmod_custom
from .format import FormatFamily, NumberFormat
from .tables import families, get_family, serial_families
from .terms import (
    Term,
    TermTable,
    family_terms,
    fitting_terms,
    reachable_terms,
    smallest_pe,
    term_table,
)

__all__ = [
    "FormatFamily",
    "NumberFormat",
    "Term",
    "TermTable",
    "bitmod_custom",
    "families",
    "family_terms",
    "fitting_terms",
    "get_family",
    "reachable_terms",
    "serial_families",
    "smallest_pe",
    "term_table",
]
