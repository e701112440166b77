"""Area and delay in cell libraries: a designed sample is synthesized, a structural model fitted.

Predictions need a committed fit (:func:`load_fit`), no library; :func:`calibrate_asic` makes one.
"""

from .calibrate import calibrate_asic
from .files import AsicFit, load_fit

__all__ = ["AsicFit", "calibrate_asic", "load_fit"]
