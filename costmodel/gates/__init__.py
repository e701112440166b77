"""Dynamic energy from gate-level activity: netlists, toggles, power tables, fitted actions."""

from .calibrate import calibrate_energy, refit
from .fit import EnergyFit, fit_energy, load_energy_fit

__all__ = ["EnergyFit", "calibrate_energy", "fit_energy", "load_energy_fit", "refit"]
