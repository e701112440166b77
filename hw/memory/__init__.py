"""Tiles in block RAM."""

from .tile_buffer import TileBuffer

__all__ = ["TileBuffer"]
