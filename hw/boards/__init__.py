"""Whole designs for boards, and their bitstreams."""

from .build import BoardResult, build_board, build_plan
from .platforms import BOARDS, DEFAULT_BAUD, Board, BoardDesign, get_board
from .top import BoardTop, LinkConfig, check_streams

__all__ = [
    "BOARDS",
    "DEFAULT_BAUD",
    "Board",
    "BoardDesign",
    "BoardResult",
    "BoardTop",
    "LinkConfig",
    "build_board",
    "build_plan",
    "check_streams",
    "get_board",
]
