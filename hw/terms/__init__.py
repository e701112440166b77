"""From weight codes to terms."""

from .decoder import TermDecoder, term_layout
from .pairs import PairDecoder

__all__ = ["PairDecoder", "TermDecoder", "term_layout"]
