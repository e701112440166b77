"""Searches by Optuna: repeatable, resumable at any moment, and better than chance."""

import importlib.util
import os
import subprocess
import sys
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bitsmith.explore import search as module
from bitsmith.explore.pareto import front, hypervolume, minimised
from bitsmith.explore.search import search
from bitsmith.explore.table import Table
from configs.errors import InputError

from . import search_model
from .search_model import BITS, Model, as_text, space_with
from .spaces import space_of

optuna = pytest.importorskip("optuna")
GP = pytest.param(
    "gp",
    marks=pytest.mark.skipif(
        any(importlib.util.find_spec(name) is None for name in ("torch", "scipy")),
        reason="the Gaussian process needs torch and scipy",
    ),
)
METHODS = ["nsga2", "tpe", GP]


@pytest.fixture
def trials(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What a search without storage would store: a database takes most of a short search's time."""
    kept: list[Any] = []
    append = module._Log.append

    def keep(log: Any, new: Any) -> None:
        kept.extend(new)
        append(log, new)

    monkeypatch.setattr(module._Log, "append", keep)
    return kept


def url(folder: Path) -> str:
    return f"sqlite:///{folder / 'optuna.db'}"


def told(storage: str) -> list[tuple]:
    """What the storage says of every trial."""
    (name,) = optuna.get_all_study_names(storage)
    return [
        (t.number, t.state.name, t.params, t.values, t.constraints, t.user_attrs)
        for t in optuna.load_study(study_name=name, storage=storage).trials
    ]


def share(table: Table, whole: Table, objectives: tuple[str, ...]) -> float:
    """Hypervolume of a table's front over that of the whole space: logarithms, scaled to 0..1 over
    all feasible points, the reference at 1.1."""
    logs = np.log(np.abs(minimised(whole, objectives)))
    low, high = np.nanmin(logs, 0), np.nanmax(logs, 0)
    signs = np.sign(np.nanmax(minimised(whole, objectives), 0))

    def volume(part: Table) -> float:
        scaled = (np.log(np.abs(minimised(part, objectives))) - low) / (high - low)
        return hypervolume(np.where(signs > 0, scaled, 1 - scaled), np.full(len(signs), 1.1))

    return volume(table) / volume(whole)


@pytest.mark.parametrize(("method", "batch"), [("nsga2", 50), ("tpe", 150)])
def test_a_search_finds_nearly_the_whole_front(method: str, batch: int) -> None:
    """300 of 2256 points; the mean of 20 random choices of 300 is what chance does."""
    space = space_with(method, batch=batch)
    objectives = space.sweep.objectives
    every = np.flatnonzero(space.allowed(np.arange(space.size)))
    whole = Model(space)(every)
    found = Table.joined(list(search(space, Model(space), storage=None)))
    chance = [
        whole.take(np.random.default_rng(seed).choice(len(every), 300, replace=False))
        for seed in range(20)
    ]
    optimal = set(whole.numbers[front(minimised(whole, objectives))].tolist())
    hits = len(optimal & set(found.numbers.tolist()))
    random_hits = np.mean([len(optimal & set(t.numbers.tolist())) for t in chance])
    random_share = np.mean([share(t, whole, objectives) for t in chance])
    print(method, share(found, whole, objectives), random_share, hits, random_hits, len(optimal))
    assert len(found) == 300
    assert share(found, whole, objectives) > max(0.9, random_share)
    assert hits > 1.5 * random_hits


@pytest.mark.parametrize("method", METHODS)
def test_killed_at_any_moment_it_goes_on_as_if_it_had_not_been(
    method: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between batches; while a batch is evaluated; while a batch is stored."""
    space = space_with(method, points=23, batch=5)
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    whole.mkdir(), parts.mkdir()
    first = Model(space)
    tables = list(search(space, first, storage=url(whole)))
    assert sum(map(len, tables)) == 23

    list(islice(search(space, Model(space), storage=url(parts)), 2))

    class Killed(BaseException):
        pass

    def dies(numbers: np.ndarray) -> Table:
        raise Killed

    def dies_after_two(numbers: np.ndarray) -> Table:
        dies_after_two.left -= 1
        return Model(space)(numbers) if dies_after_two.left >= 0 else dies(numbers)

    dies_after_two.left = 3
    with pytest.raises(Killed):
        list(search(space, dies_after_two, storage=url(parts)))
    add, left = optuna.Study.add_trial, [3]

    def stored_in_part(study: Any, trial: Any) -> None:
        if study._storage.__class__.__name__ != "InMemoryStorage":
            left[0] -= 1
            if left[0] < 0:
                raise Killed
        add(study, trial)

    with monkeypatch.context() as patch:
        patch.setattr(optuna.Study, "add_trial", stored_in_part)
        with pytest.raises(Killed):
            list(search(space, Model(space), storage=url(parts)))
    assert len(told(url(parts))) % 5 == 3

    again = Model(space)
    assert as_text(list(search(space, again, storage=url(parts)))) == as_text(tables)
    assert again.asked == first.asked
    assert told(url(parts)) == told(url(whole))


def test_trials_that_others_left_running_are_no_part_of_it(tmp_path: Path) -> None:
    space = space_with("tpe", points=30, batch=10)
    tables = list(search(space, Model(space), storage=None))
    list(islice(search(space, Model(space), storage=url(tmp_path)), 1))
    (name,) = optuna.get_all_study_names(url(tmp_path))
    study = optuna.load_study(study_name=name, storage=url(tmp_path))
    study.ask().suggest_int("accelerator.rows", 0, 3)
    study.tell(study.ask(), state=optuna.trial.TrialState.FAIL)
    assert as_text(list(search(space, Model(space), storage=url(tmp_path)))) == as_text(tables)


@pytest.mark.parametrize("method", METHODS)
def test_a_seed_is_the_same_search_in_another_process(method: str) -> None:
    """With other hashes of texts; another seed is another search."""
    done = subprocess.run(
        [sys.executable, search_model.__file__, method],
        env={**os.environ, "PYTHONHASHSEED": "12345"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == search_model.main(method)
    assert done.stderr == ""


@pytest.mark.parametrize("method", ["nsga2", "tpe"])
def test_another_seed_is_another_search(method: str) -> None:
    first, second = (space_with(method, points=30, batch=15, seed=seed) for seed in (1, 2))
    numbers = [
        Table.joined(list(search(space, Model(space), storage=None))).numbers.tolist()
        for space in (first, second)
    ]
    assert numbers[0] != numbers[1]


def test_known_points_are_not_evaluated_again_but_told_again(trials: list[Any]) -> None:
    space = space_with("nsga2", points=150, batch=25)
    model = Model(space)
    table = Table.joined(list(search(space, model, storage=None)))
    asked = [number for numbers in model.asked for number in numbers]
    assert len(asked) == len(set(asked)) == 150
    assert all(numbers == sorted(numbers) for numbers in model.asked)
    points = [trial.user_attrs["point"] for trial in trials]
    assert len(set(points)) < len(points)
    rates, areas = table.metrics["tokens_per_s"], table.metrics["area_mm2"]
    figures = {int(n): [rates[i], areas[i]] for i, n in enumerate(table.numbers)}
    feasible = set(table.numbers[table.feasible].tolist())
    for trial, point in zip(trials, points, strict=True):
        assert np.isfinite(trial.values).all()
        assert trial.constraints == {"infeasible": float(point not in feasible)}
        assert point not in feasible or trial.values == figures[point]


@pytest.mark.parametrize("method", ["nsga2", "tpe"])
def test_parameters_are_places_of_values(method: str, trials: list[Any]) -> None:
    """Numbers in rising order, texts in the order of the file; the settings beside them."""
    space = space_with(method, points=40, batch=20)
    list(search(space, Model(space), storage=None))
    shared = "accelerator.rows_per_dequantizer"
    for trial in trials:
        params, settings = trial.params, trial.user_attrs["settings"]
        assert settings == space.settings(trial.user_attrs["point"])
        assert list(BITS)[params["quantization"]] == settings["quantization"]
        assert [2, 4, 8, 16][params["accelerator.lanes"]] == settings["accelerator.lanes"]
        assert (shared in settings) == (settings["accelerator.rows"] > 1)
        # define by run, where the sampler can learn from it
        assert params.keys() == (settings if method == "tpe" else space.axis).keys()
        if shared in settings:
            assert [1, 2, 4][params[shared]] == settings[shared]
        assert space.number(settings) == trial.user_attrs["point"]


def test_infeasible_points_have_the_worst_values_so_far(trials: list[Any]) -> None:
    space = space_with("nsga2", points=60, batch=20)
    list(search(space, Model(space), storage=None))
    rows = np.array([trial.values for trial in trials])
    feasible = np.array([trial.constraints["infeasible"] == 0 for trial in trials])
    assert 0 < feasible.sum() < len(trials)
    for place in np.flatnonzero(~feasible):
        # all of its own batch count
        end = (place // 20 + 1) * 20
        before = rows[:end][feasible[:end]]
        assert rows[place].tolist() == [before[:, 0].min(), before[:, 1].max()]


def nowhere_feasible(numbers: np.ndarray) -> Table:
    nothing = np.full(len(numbers), np.nan)
    return Table(
        numbers=numbers,
        metrics={"tokens_per_s": nothing, "area_mm2": nothing},
        reasons=("", "no"),
        reason=np.ones(len(numbers), np.int64),
    )


@pytest.mark.parametrize("method", METHODS)
def test_a_space_without_a_feasible_point_is_searched_to_the_end(method: str) -> None:
    space = space_with(method, points=30, batch=12)
    assert sum(map(len, search(space, nowhere_feasible, storage=None))) == 30


@pytest.mark.parametrize("method", ["nsga2", "tpe"])
def test_it_ends_when_nothing_is_new(method: str) -> None:
    """More points are wanted than there are."""
    space = space_of(
        {"accelerator.rows": [1, 2, 4], "accelerator.cols": [2, 4]},
        constraints=["accelerator.rows < 4"],
        search={"method": method, "points": 50, "batch": 5},
    )
    tables = list(search(space, areas, storage=None))
    assert Table.joined(tables).numbers.tolist() == [0, 1, 2, 3]


def areas(numbers: np.ndarray) -> Table:
    return Table(
        numbers=numbers,
        metrics={"area_mm2": numbers + 1.0},
        reasons=("",),
        reason=np.zeros(len(numbers), np.int64),
    )


def test_no_allowed_point_ends_too() -> None:
    space = space_of(
        {"accelerator.rows": [1, 2, 4]},
        constraints=["accelerator.rows > 4"],
        search={"method": "nsga2", "points": 50, "batch": 5},
    )
    assert list(search(space, areas, storage=None)) == []


def test_one_objective_and_batches_of_one() -> None:
    space = space_of(
        {"accelerator.rows": [1, 2, 4, 8], "accelerator.cols": [2, 4, 8, 16]},
        search={"method": "tpe", "points": 12, "batch": 1},
    )
    assert [len(table) for table in search(space, areas, storage=None)] == [1] * 12


def test_figures_that_changed_are_noticed(tmp_path: Path) -> None:
    """The storage remembers what older code found."""
    space = space_with("nsga2", points=20, batch=10)
    list(islice(search(space, Model(space), storage=url(tmp_path)), 1))

    def slower(numbers: np.ndarray) -> Table:
        table = Model(space)(numbers)
        return replace(table, metrics={k: v * 1.001 for k, v in table.metrics.items()})

    with pytest.raises(InputError, match="other figures for point"):
        list(search(space, slower, storage=url(tmp_path)))


def test_a_second_writer_is_noticed(tmp_path: Path) -> None:
    space = space_with("nsga2", points=30, batch=10)
    first = search(space, Model(space), storage=url(tmp_path))
    next(first)
    list(search(space, Model(space), storage=url(tmp_path)))
    with pytest.raises(InputError, match="another process adds trials to the study 'made_up-"):
        next(first)


@pytest.mark.parametrize(
    "storage", ["no url", "nodatabase://x/y", "sqlite:////no/such/folder/optuna.db"]
)
def test_a_storage_that_cannot_be_used(storage: str) -> None:
    space = space_with()
    with pytest.raises(InputError, match="storage of Optuna cannot be used"):
        next(search(space, Model(space), storage=storage))


def test_a_password_is_not_shown() -> None:
    space = space_with()
    with pytest.raises(InputError) as caught:
        next(search(space, Model(space), storage="nodatabase://me:secret@host/x"))
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("missing", "method", "extra"),
    [("optuna", "tpe", "explore"), ("torch", "gp", "gp"), ("scipy", "gp", "gp")],
)
def test_a_missing_library_is_named(
    missing: str, method: str, extra: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "find_spec", lambda name: None if name == missing else "installed")
    space = space_with(method)
    with pytest.raises(InputError, match=rf"{method} needs {missing}: .*'bitsmith\[{extra}\]'"):
        next(search(space, Model(space), storage=None))


def test_nothing_is_said_and_nothing_of_optuna_is_changed(
    capfd: pytest.CaptureFixture[str],
) -> None:
    before = optuna.logging.get_verbosity()
    space = space_with("tpe", points=30, batch=15)
    list(search(space, Model(space), storage=None))
    assert capfd.readouterr() == ("", "")
    assert optuna.logging.get_verbosity() == before
