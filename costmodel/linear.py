"""Linear models with terms that have a meaning: the form of everything that is fitted."""

import json
import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from configs.errors import InputError

from .estimate import Estimate

Fit = TypeVar("Fit")

#: share of held-out rows that an interval contains
COVERAGE = 0.95


@dataclass(frozen=True, kw_only=True)
class FitError:
    """How far predictions were off, in per cent of what was measured, on rows left out of the fit.

    Attributes
    ----------
    fitted, held_out : rows of each kind.
    mean_percent, worst_percent : of the absolute errors of the held-out rows.
    interval_percent : half the width of the interval around a prediction: the error that
        :data:`COVERAGE` of the held-out rows stay below, the worst one where they are few.
    """

    fitted: int
    held_out: int
    mean_percent: float
    worst_percent: float
    interval_percent: float

    @classmethod
    def of(
        cls, predicted: Sequence[float], measured: Sequence[float], *, fitted: int
    ) -> "FitError":
        """Errors of the held-out rows."""
        found = np.abs(np.asarray(predicted, float) / np.asarray(measured, float) - 1) * 100
        return cls(
            fitted=fitted,
            held_out=len(found),
            mean_percent=round(float(found.mean()), 3),
            worst_percent=round(float(found.max()), 3),
            interval_percent=round(float(np.quantile(found, COVERAGE, method="higher")), 3),
        )


@dataclass(frozen=True, kw_only=True)
class LinearModel:
    """Sum of terms: how much there is of something, times what one of it takes.

    Attributes
    ----------
    terms : coefficients by the name of what they multiply; units are those of the fit.
    error : on rows left out of the fit.
    """

    terms: dict[str, float]
    error: FitError

    def value(self, amounts: Mapping[str, float]) -> float:
        """Prediction without its interval; amounts that are no term count nothing."""
        return sum(price * amounts.get(name, 0) for name, price in self.terms.items())

    def estimate(self, amounts: Mapping[str, float]) -> Estimate:
        """Prediction with its interval."""
        return Estimate.within(self.value(amounts), self.error.interval_percent / 100)

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> "LinearModel":
        """Of what :meth:`to_json` made.

        Raises
        ------
        ValueError : no terms, a coefficient or an error that is no number from 0 on.
        """
        terms, error = dict(content["terms"]), FitError(**content["error"])
        if not terms:
            raise ValueError("a model without terms")
        for name, value in {**terms, **asdict(error)}.items():
            if isinstance(value, bool) or not isinstance(value, int | float):
                raise ValueError(f"{name} is {value!r}, no number")
            if not 0 <= value < math.inf:
                raise ValueError(f"{name} is {value}")
        return cls(terms=terms, error=error)

    def to_json(self) -> dict[str, Any]:
        """``terms`` and ``error``."""
        return {"terms": self.terms, "error": asdict(self.error)}

    def check_terms(self, name: str, known: Collection[str]) -> None:
        """Refuse, by a ``ValueError``, terms of model ``name`` that nothing is counted for."""
        if unknown := self.terms.keys() - set(known):
            raise ValueError(f"{name} has unknown terms {', '.join(sorted(unknown))}")


def read_fit(path: Path, of: Callable[[Any], Fit], command: str) -> Fit:
    """What ``of`` makes of the JSON file of a fit.

    Parameters
    ----------
    command : makes the file; an error names it.

    Raises
    ------
    InputError : there is no such file, or it is none that ``of`` takes.
    """
    try:
        return of(json.loads(path.read_text(encoding="utf-8")))
    except OSError:
        found = ", ".join(sorted(p.stem for p in path.parent.glob("*.json"))) or "none"
        raise InputError(
            f"fit '{path.stem}' is missing: {path} is not there (fits: {found}); make it with "
            f"'{command}'"
        ) from None
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise InputError(
            f"fit '{path.stem}' is corrupt: {path} cannot be read ({type(error).__name__}: "
            f"{error}); make it again with '{command}'"
        ) from None


def calibrate_command(of: str, folder: Path) -> str:
    """The command that writes fits ``of`` a library or a family, as its options, into a folder."""
    # it makes a folder 'fits' of its own
    out = folder.parent if folder.name == "fits" else "DIR"
    return f"bitsmith calibrate {of} --out {out}"


def fit_terms(
    amounts: Sequence[Mapping[str, float]],
    measured: Sequence[float],
    names: Sequence[str],
    *,
    least: Mapping[str, float] | None = None,
    near: Mapping[str, float] | None = None,
    hold: float = 0.0,
) -> dict[str, float]:
    """Coefficients of a linear model without negative ones: least squares of relative errors.

    Needs SciPy (``pip install 'bitsmith[calibrate]'``); only fitting does, predictions do not.

    Parameters
    ----------
    least : lower bounds other than 0.
    near : coefficients, above their bounds, that the found ones are held near.
    hold : how strongly: a coefficient that is off by its whole value counts as much as this many
        rows that are off by as much as they are.
    """
    from scipy.optimize import nnls

    target = np.asarray(measured, float)
    columns = (
        np.array([[row.get(name, 0.0) for name in names] for row in amounts]) / target[:, None]
    )
    floor = np.array([(least or {}).get(name, 0.0) for name in names])
    wanted = 1 - columns @ floor
    if near is not None and hold:
        expected = np.array([near[name] for name in names]) - floor
        columns = np.vstack([columns, np.sqrt(hold) * np.diag(1 / expected)])
        wanted = np.concatenate([wanted, np.full(len(names), np.sqrt(hold))])
    # columns of like size, for the solver's tolerance
    sizes = np.maximum(np.linalg.norm(columns, axis=0), 1e-300)
    found, _ = nnls(columns / sizes, wanted)
    prices = found / sizes + floor
    return {
        name: float(f"{price:.6g}") for name, price in zip(names, prices, strict=True) if price > 0
    }
