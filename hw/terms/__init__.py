"""From weight codes to terms."""

from .decoder import TermDecoder, term_layout

__all__ = ["TermDecoder", "term_layout"]
