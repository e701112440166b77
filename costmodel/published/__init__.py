"""Energy models of published simulators, written again from their formulas."""

from .bitmod_hpca25 import PointEnergy, point_energy

__all__ = ["PointEnergy", "point_energy"]
