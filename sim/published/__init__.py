"""Published simulators, written again from their formulas."""

from .bitmod_hpca25 import Operation, OperationTiming, PointTiming, time_generation, time_point
from .modelling import CORRECTED, VARIANTS, Modelling
from .points import Point, PublishedRow, published_rows, read_points
from .shapes import ModelShape, model_names, model_shape

__all__ = [
    "CORRECTED",
    "VARIANTS",
    "ModelShape",
    "Modelling",
    "Operation",
    "OperationTiming",
    "Point",
    "PointTiming",
    "PublishedRow",
    "model_names",
    "model_shape",
    "published_rows",
    "read_points",
    "time_generation",
    "time_point",
]
