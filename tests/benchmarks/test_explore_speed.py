"""The speed of the exploration is measured on all its points, with peers or without; small here."""

import json
import sys
from collections.abc import Sequence

import pytest

from benchmarks import explore_speed
from benchmarks.peers.measure import Measurement, PeerError, Usage
from sw.workloads import Gemm

SMALL = ["speed", "--side", "3", "--lanes", "4", "--queues", "4"]


def _here(side: int, lanes: list[int], queues: list[int]) -> dict[str, object]:
    """Our figures without processes."""
    asked = explore_speed.space(side, lanes, queues)
    done = explore_speed.work(asked, list(asked.chunks()))
    rates = dict.fromkeys(("points_per_minute", "points_per_minute_wall"), 1)
    cpu = {"cpu_us_per_point": 20.0, "cpu_us": {"all else": 20.0}}
    return {"points": done["points"], "load": 0.0, **rates, **cpu}


def _absent(gemms: Sequence[Gemm]) -> Measurement:
    raise PeerError("second is not installed: no index")


def test_a_point_has_each_size_once() -> None:
    gemms = explore_speed.distinct_gemms()
    sizes = [(gemm.m, gemm.n, gemm.k) for gemm in gemms]
    assert len(set(sizes)) == len(sizes)
    # q and o, k and v, gate and up, down: prefill and decode; the last layer for one token
    layer = [(4096, 4096), (1024, 4096), (14336, 4096), (4096, 14336)]
    assert set(sizes) == {(m, n, k) for m in (1, 256) for n, k in layer} | {(1, 128256, 4096)}


def test_peers_are_measured_on_one_point(monkeypatch, capsys) -> None:
    asked = []

    def first(gemms: Sequence[Gemm]) -> Measurement:
        asked.append(gemms)
        usage = Usage(cpu_s=3.0, wall_s=9.0, peak_mb=1.0, output="")
        return Measurement(import_s=1.0, usage=usage, cycles=1234)

    monkeypatch.setattr(explore_speed, "measure", _here)
    monkeypatch.setattr(explore_speed, "PEERS", {"first": first, "second": _absent})
    monkeypatch.setattr(sys, "argv", [*SMALL, "--peer", "--json"])
    explore_speed.main()
    found = json.loads(capsys.readouterr().out)
    assert asked == [explore_speed.distinct_gemms()]
    assert (found["points"], found["peer_gemms"]) == (9, 9)
    measured, missing = found["peers"]
    assert measured["times"] == pytest.approx(2.0 / 20e-6)
    assert not missing["measured"] and "times" not in missing
    monkeypatch.setattr(sys, "argv", [*SMALL, "--peer"])
    explore_speed.main()
    lines = capsys.readouterr().out.splitlines()
    assert "1,234 cycles; 100,000 times as long (target 1,000)" in lines[-2]
    assert lines[-1] == "second: second is not installed: no index"


def test_without_peers_none_is_installed(monkeypatch, capsys) -> None:
    monkeypatch.setattr(explore_speed, "measure", _here)
    monkeypatch.setattr(explore_speed, "PEERS", {"second": _absent})
    monkeypatch.setattr(sys, "argv", [*SMALL, "--json"])
    explore_speed.main()
    assert "peers" not in json.loads(capsys.readouterr().out)
