"""Search a design space with Optuna: NSGA-II, TPE or a Gaussian process.

Points are chosen in batches: a batch is proposed, evaluated and told as a whole. Optuna's storage
holds finished trials only, appended batch by batch; the samplers work on a copy in memory, with a
new sampler for each batch, seeded by the sweep's seed and the batch's number. What a batch proposes
is thus a function of the batches before it, and a search that was killed at any moment goes on as
if it had not been: trials of an incomplete batch are proposed again, and are the same.
"""

import hashlib
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from configs.errors import InputError

from .metrics import METRICS
from .pareto import minimised
from .space import Axis, Space
from .table import Table

if TYPE_CHECKING:
    import optuna
    from optuna.samplers import NSGAIISampler
    from optuna.study import StudyDirection
    from optuna.trial import FrozenTrial

#: batches in succession without a point that is new: the search has converged, or the space is done
_IDLE_BATCHES = 10
#: NSGA-II selects by comparing; fewer parents than this are a random walk
_LEAST_POPULATION = 10

Numbers = NDArray[np.int64]


def search(
    space: Space,
    evaluate_numbers: Callable[[Numbers], Table],
    *,
    storage: str | None,
) -> Iterator[Table]:
    """Points as they are chosen and evaluated, one table of new points for each batch.

    Ends when ``sweep.search.points`` points are evaluated, or when no batch of a row of ten has
    brought a new one. A study that the storage already holds is continued: its batches come first,
    asked of ``evaluate_numbers`` again, which is expected to remember them.

    A point that is proposed twice is evaluated once and told twice. An infeasible point, or one
    without a figure for some objective, is told with the constraint ``infeasible`` above 0, which
    all three samplers learn from, and with the worst feasible values so far. (Optuna prunes no
    trial of several objectives, and samplers ignore those that failed.) The Gaussian process is
    told logarithms; it takes about a second to propose a point, the others hundredths of one.

    Parameters
    ----------
    evaluate_numbers : of distinct, increasing numbers of allowed points.
    storage : URL of Optuna's storage, such as ``sqlite:///FOLDER/optuna.db``; None to keep nothing.
        The study's name is the sweep's, with the key of the space.

    Raises
    ------
    InputError : Optuna, or what its Gaussian process needs, is not installed; the storage cannot be
        used, or holds other figures for the same study.
    """
    method = space.sweep.search.method
    _require(method)
    state = _State(space)
    with _quiet():
        log = _Log(space, storage)
        proposer = _Proposer(space)
    while not state.finished:
        with _quiet():
            numbers = proposer.propose(log.trials, state.batch_size)
        new = state.unknown(numbers)
        table = evaluate_numbers(new) if len(new) else None
        if table is not None:
            state.learn(table)
        with _quiet():
            log.append(proposer.tell([state.told(number) for number in numbers]))
        if table is not None:
            yield table


def _require(method: str) -> None:
    """Refuse a method whose libraries are missing."""
    needed = {"optuna": "explore"} | ({"scipy": "gp", "torch": "gp"} if method == "gp" else {})
    for library, extra in needed.items():
        if find_spec(library) is None:
            raise InputError(
                f"search.method {method} needs {library}: pip install 'bitsmith[{extra}]'"
            )


@contextmanager
def _quiet() -> Iterator[None]:
    """No log lines of Optuna, and no warning that a part in use is experimental or, where no point
    is feasible yet, that the Gaussian process's shares of nothing are NaN (it looks for that)."""
    import optuna

    verbosity = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        with warnings.catch_warnings(), np.errstate(invalid="ignore"):
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            yield
    finally:
        optuna.logging.set_verbosity(verbosity)


@dataclass(frozen=True, kw_only=True)
class _Told:
    """What Optuna hears of one point.

    Attributes
    ----------
    values : of the objectives, as the metrics are; their logarithms for a Gaussian process.
    violation : 1 for an infeasible point, 0 for a feasible one.
    """

    number: int
    values: list[float]
    violation: float

    def agrees(self, trial: "FrozenTrial") -> bool:
        """Whether a stored trial says the same."""
        mine, its = [self.violation, *self.values], [*trial.constraints.values(), *trial.values]
        return (
            trial.user_attrs["point"] == self.number
            and len(mine) == len(its)
            and (np.allclose(mine, its, rtol=1e-9, atol=0.0))
        )


class _State:
    """What is known of the points so far."""

    def __init__(self, space: Space) -> None:
        self._space = space
        self._search = space.sweep.search
        self._objectives = space.sweep.objectives
        better = [METRICS[name].better for name in self._objectives]
        self._signs = np.array([-1.0 if way == "more" else 1.0 for way in better])
        #: counts may be 0, and then have a logarithm too
        self._offsets = np.array([METRICS[n].source == "fpga" for n in self._objectives], float)
        #: by number: the objectives, less better; None where infeasible
        self._values: dict[int, NDArray[np.float64] | None] = {}
        self._worst: NDArray[np.float64] | None = None
        self._evaluated = 0
        self._idle = 0

    @property
    def finished(self) -> bool:
        return self._evaluated >= self._search.points or self._idle >= _IDLE_BATCHES

    @property
    def batch_size(self) -> int:
        return min(self._search.batch, self._search.points - self._evaluated)

    def unknown(self, numbers: Sequence[int]) -> Numbers:
        """Those to evaluate, increasing, each once; what is not allowed is settled here."""
        new = np.array(sorted(set(numbers) - self._values.keys()), np.int64)
        self._values.update(dict.fromkeys(new.tolist()))
        new = new[self._space.allowed(new)] if len(new) else new
        self._evaluated += len(new)
        self._idle = 0 if len(new) else self._idle + 1
        return new

    def learn(self, table: Table) -> None:
        """Take in the figures of new points."""
        rows = minimised(table, self._objectives)
        for number, row in zip(table.numbers.tolist(), rows, strict=True):
            if np.isfinite(row).all():
                self._values[number] = row
                self._worst = row if self._worst is None else np.maximum(row, self._worst)

    def told(self, number: int) -> _Told:
        values = self._values[number]
        shown = self._worst if values is None else values
        natural = np.ones(len(self._signs)) if shown is None else shown * self._signs
        if self._search.method == "gp":
            # a Gaussian process takes differences for what they are: here ratios matter
            natural = np.log(np.maximum(natural + self._offsets, 1e-30))
        return _Told(number=number, values=natural.tolist(), violation=float(values is None))


class _Log:
    """Optuna's storage: finished trials, in the order of their batches."""

    def __init__(self, space: Space, url: str | None) -> None:
        import optuna
        from sqlalchemy.exc import SQLAlchemyError

        self.name = f"{space.sweep.name}-{space.key}"
        try:
            self._study = optuna.create_study(
                storage=url,
                study_name=self.name,
                directions=_directions(space),
                load_if_exists=True,
            )
        except (ImportError, ValueError, optuna.exceptions.OptunaError, SQLAlchemyError) as error:
            raise _unusable(error) from None
        self.trials = self._finished()

    def _finished(self) -> list["FrozenTrial"]:
        from optuna.trial import TrialState

        return self._study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))

    def append(self, trials: Sequence["FrozenTrial"]) -> None:
        """Add trials, one at a time: each is stored whole or not at all."""
        if len(self._finished()) != len(self.trials):
            raise InputError(f"another process adds trials to the study '{self.name}'")
        import optuna
        from sqlalchemy.exc import SQLAlchemyError

        try:
            self._study.add_trials(trials)
        except (optuna.exceptions.OptunaError, SQLAlchemyError) as error:
            raise _unusable(error) from None
        self.trials += trials


def _unusable(error: Exception) -> InputError:
    reason = (str(error).splitlines() or [type(error).__name__])[0]
    return InputError(f"the storage of Optuna cannot be used: {reason}")


class _Proposer:
    """The samplers' side: a study in memory that is as if it had never been interrupted."""

    def __init__(self, space: Space) -> None:
        import optuna

        self._space = space
        self._search = space.sweep.search
        self._study = optuna.create_study(directions=_directions(space))
        # conditions are met by what is chosen before: axes that have none come first
        self._axes = sorted(space.axes, key=lambda axis: axis.when is not None)
        self._batch = 0
        self._told = 0
        self._resumed = True
        self._stored: list[FrozenTrial] = []
        self._asked: list[optuna.Trial] = []

    def propose(self, stored: Sequence["FrozenTrial"], size: int) -> list[int]:
        """Numbers of the next batch: those of the ``stored`` trials if it is complete there."""
        from optuna.samplers import NSGAIISampler

        self._stored, self._asked = list(stored[self._told : self._told + size]), []
        if len(self._stored) == size:
            return [trial.user_attrs["point"] for trial in self._stored]
        sampler = _sampler(self._space, self._batch)
        if self._resumed and isinstance(sampler, NSGAIISampler):
            _select_again(sampler, self._study)
        self._resumed = False
        self._study.sampler = sampler
        numbers = []
        for _ in range(size):
            self._asked.append(self._study.ask())
            numbers.append(self._suggest(self._asked[-1]))
        return numbers

    def _suggest(self, trial: "optuna.Trial") -> int:
        """A point, its inactive axes at their first values."""
        space, number = self._space, 0
        waiting = list(self._axes)
        while waiting:
            # define by run: an axis is asked for once the others make it active. Only TPE models
            # such axes; the others draw at random what not every trial has, so that with them
            # inactive axes are carried along, without effect.
            active = space.settings(number) if self._search.method == "tpe" else space.axis
            axis = next((axis for axis in waiting if axis.path in active), None)
            if axis is None:
                break
            waiting.remove(axis)
            number += _place(trial, axis) * axis.stride
        return space.number(space.settings(number))

    def tell(self, told: Sequence["_Told"]) -> list["FrozenTrial"]:
        """Close the batch; those of its trials that are not stored yet.

        Raises
        ------
        InputError : what is stored is something else.
        """
        for old, new in zip(self._stored, told, strict=False):
            if not new.agrees(old):
                raise InputError(
                    f"Optuna's storage holds other figures for point {new.number} than the "
                    "evaluation gives now: the code has changed since, start with another storage"
                )
        if not self._asked:
            self._study.add_trials(self._stored)
        for trial, result in zip(self._asked, told, strict=False):
            trial.set_user_attr("point", result.number)
            trial.set_user_attr("settings", _readable(self._space.settings(result.number)))
            trial.set_constraint("infeasible", result.violation)
            self._study.tell(trial, result.values)
        known = self._told + len(self._stored)
        self._told += len(told)
        self._batch += 1
        return self._study.get_trials(deepcopy=False)[known:]


def _directions(space: Space) -> list["StudyDirection"]:
    from optuna.study import StudyDirection

    ways = {"less": StudyDirection.MINIMIZE, "more": StudyDirection.MAXIMIZE}
    return [ways[METRICS[name].better or "less"] for name in space.sweep.objectives]


def _place(trial: "optuna.Trial", axis: Axis) -> int:
    """Place of a value on an axis. The parameter counts numbers in rising order, as neighbours
    are alike; texts have none."""
    if not all(type(value) in (int, float) for value in axis.values):
        return trial.suggest_categorical(axis.path, range(len(axis.values)))
    rising = np.argsort(np.array(axis.values), kind="stable")
    return int(rising[trial.suggest_int(axis.path, 0, len(rising) - 1)])


def _sampler(space: Space, batch: int) -> "optuna.samplers.BaseSampler":
    """A new sampler, its seed made of the sweep's and the batch's number."""
    from optuna.samplers import GPSampler, NSGAIISampler, TPESampler

    settings = space.sweep.search
    digest = hashlib.sha256(f"{settings.seed}:{batch}".encode()).digest()
    seed = int.from_bytes(digest[:4], "big")
    if settings.method == "nsga2":
        # a batch is a generation
        return NSGAIISampler(population_size=max(settings.batch, _LEAST_POPULATION), seed=seed)
    if settings.method == "gp":
        return GPSampler(seed=seed, warn_independent_sampling=False)
    return TPESampler(
        seed=seed, multivariate=True, group=bool(space.sweep.when), constant_liar=True
    )


def _select_again(sampler: "NSGAIISampler", study: "optuna.Study") -> None:
    """Each generation's parents, which the sampler keeps in the study but not in its trials.

    From the first on, as each selection needs the one before.
    """
    trials = study.get_trials(deepcopy=False)
    last = max((sampler.get_trial_generation(study, trial) for trial in trials), default=0)
    for generation in range(1, last + 1):
        sampler.get_parent_population(study, generation)


def _readable(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings for whoever reads the storage: as they are, or as text where they are mappings."""
    plain = (str, int, float)
    return {k: v if isinstance(v, plain) else str(v) for k, v in settings.items()}
