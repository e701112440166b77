"""The SRAM model: its fit, its shape, its intervals, and figures of others."""

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from configs.errors import InputError
from costmodel.memory import fit_sram, sram
from costmodel.memory.sram import Sram
from costmodel.memory.sram_geometry import REFERENCE_BITS, TERMS, column_mux
from costmodel.memory.sram_points import (
    CACTI_RUNS,
    PUBLISHED_AREA_MM2,
    PUBLISHED_BANKS,
    PUBLISHED_PJ,
    small_checks,
)

WIDTHS = np.arange(8, 2049)
CAPACITIES = np.unique(np.round(2.0 ** np.arange(13, 29.01, 0.05)))


@pytest.mark.parametrize("width", sorted(PUBLISHED_PJ))
def test_published_energies_within_three_percent(width: int) -> None:
    memory = Sram(bits=REFERENCE_BITS, width_bits=width, banks=PUBLISHED_BANKS)
    read, write = PUBLISHED_PJ[width]
    assert memory.read_pj.value == pytest.approx(read, rel=0.03)
    assert memory.write_pj.value == pytest.approx(write, rel=0.03)


def test_published_area_range() -> None:
    for width, area in zip((128, 1536), PUBLISHED_AREA_MM2, strict=True):
        memory = Sram(bits=REFERENCE_BITS, width_bits=width, banks=PUBLISHED_BANKS)
        assert memory.area_um2.value == pytest.approx(1e6 * area, rel=1e-4)


def test_published_access_range() -> None:
    for width in PUBLISHED_PJ:
        memory = Sram(bits=REFERENCE_BITS, width_bits=width, banks=PUBLISHED_BANKS)
        assert 0.48 < memory.access_ns.value < 0.55


def test_file_is_what_the_fit_makes() -> None:
    assert fit_sram.main(["--check"]) == 0


def test_stale_file_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = tmp_path / "sram_fit.json"
    data = json.loads(sram.FIT_FILE.read_text(encoding="utf-8"))
    data["fit"]["coefficients"]["decoder_pj"] *= 1.01
    other.write_text(json.dumps(data, indent=2) + "\n", encoding="utf-8")
    monkeypatch.setattr(fit_sram, "FIT_FILE", other)
    assert fit_sram.main(["--check"]) == 1


def test_fit_writes_and_prints_every_point(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(fit_sram, "FIT_FILE", tmp_path / "sram_fit.json")
    assert fit_sram.main([]) == 0
    written = (tmp_path / "sram_fit.json").read_bytes()
    assert written == sram.FIT_FILE.read_bytes()
    printed = capsys.readouterr().out
    for width, (read, write) in PUBLISHED_PJ.items():
        row = next(line for line in printed.splitlines() if line.split()[:1] == [str(width)])
        assert f"{read:.1f}" in row and f"{write:.1f}" in row
    assert "max error" in printed


def test_no_coefficients_without_the_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"cannot read the SRAM model gone\.json: make it with"):
        sram.load_fit(tmp_path / "gone.json")


@pytest.mark.parametrize("text", ["{", "{}", '{"fit": {"coefficients": {}}}', "[]"])
def test_damaged_file(tmp_path: Path, text: str) -> None:
    bad = tmp_path / "sram_fit.json"
    bad.write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match="damaged"):
        sram.load_fit(bad)


def test_every_term_has_a_positive_coefficient() -> None:
    fit = sram.load_fit()
    assert list(fit.coefficients) == list(TERMS)
    assert min(fit.coefficients.values()) > 0


def test_error_at_a_width_left_out_is_the_greater_one() -> None:
    fit = sram.load_fit()
    assert fit.max_error < 0.03
    assert fit.max_error < fit.left_out_error < 0.05


@pytest.mark.parametrize("ports", ["1rw", "1r1w"])
@pytest.mark.parametrize("banks", [1, 8])
def test_never_falls_with_width_or_capacity(ports: sram.Ports, banks: int) -> None:
    bits, widths = CAPACITIES[:, None], WIDTHS[None, :]
    for of in (sram.read_pj, sram.write_pj, sram.area_of, sram.access_of):
        values = of(bits, widths, banks, ports)
        assert (np.diff(values, axis=0) > 0).all(), of.__name__
        assert (np.diff(values, axis=1) >= -1e-12 * values[:, 1:]).all(), of.__name__


def test_arrays_and_single_memories_agree() -> None:
    bits = np.array([4096, 1 << 20, 1 << 24])
    widths = np.array([32, 256, 1024])
    for ports in ("1rw", "1r1w"):
        reads = sram.read_pj(bits, widths, 2, ports)
        writes = sram.write_pj(bits, widths, 2, ports)
        for i in range(3):
            one = Sram(bits=int(bits[i]), width_bits=int(widths[i]), banks=2, ports=ports)
            assert one.read_pj.value == pytest.approx(reads[i])
            assert one.write_pj.value == pytest.approx(writes[i])
            assert one.area_um2.value == pytest.approx(
                sram.area_of(int(bits[i]), int(widths[i]), 2, ports)
            )
            assert one.leakage_mw.value == pytest.approx(sram.leakage_of(bits, ports)[i])


def test_energy_goes_with_the_root_of_a_large_capacity() -> None:
    small, large = (
        sram.read_pj(bits, 64, 1, "1rw") for bits in (REFERENCE_BITS, 16 * REFERENCE_BITS)
    )
    assert large / small == pytest.approx(4, rel=0.02)


def test_one_port_takes_less() -> None:
    for bits, width in ((8192, 32), (REFERENCE_BITS, 256)):
        one = Sram(bits=bits, width_bits=width, ports="1rw")
        two = Sram(bits=bits, width_bits=width, ports="1r1w")
        for name in ("read_pj", "write_pj", "area_um2", "access_ns", "leakage_mw"):
            assert getattr(one, name).value < getattr(two, name).value


def test_banks_cost_area_and_wire() -> None:
    one, many = (Sram(bits=REFERENCE_BITS, width_bits=256, banks=n) for n in (1, 32))
    assert many.area_um2.value > 1.1 * one.area_um2.value
    assert many.read_pj.value > one.read_pj.value


@pytest.mark.parametrize("ports", ["1rw", "1r1w"])
def test_small_buffers_are_sane(ports: sram.Ports) -> None:
    """Between two flip-flops' worth and a memory of 1 KiB."""
    for bits, width in ((256, 16), (512, 32), (2048, 64), (4096, 32)):
        memory = Sram(bits=bits, width_bits=width, ports=ports)
        for energy in (memory.read_pj, memory.write_pj):
            assert 0.001 < energy.value / width < 0.05
            assert energy.low > 0
        assert 0.1 < memory.area_um2.value / bits < 4
        assert 0.05 < memory.access_ns.value < 0.2


def test_horowitz_inside_the_interval() -> None:
    for check in fit_sram.horowitz_checks():
        memory = Sram(bits=round(check.kib * 8192), width_bits=64, ports="1rw")
        assert check.read_pj is not None
        assert memory.read_pj.low < check.read_pj < memory.read_pj.high
        assert memory.read_pj.value == pytest.approx(check.read_pj, rel=0.35)


def test_small_memories_of_others() -> None:
    for check in small_checks():
        memory = Sram(bits=round(check.kib * 8192), width_bits=check.width_bits)
        for estimate, value in (
            (memory.read_pj, check.read_pj),
            (memory.write_pj, check.write_pj),
        ):
            assert value is not None
            assert estimate.value == pytest.approx(value, rel=0.8)
            assert estimate.low < value < estimate.high
        assert check.area_um2 is not None
        assert memory.area_um2.value == pytest.approx(check.area_um2, rel=0.5)


def test_intervals_hold_the_other_runs() -> None:
    inside = area_inside = total = 0
    for ports, banks, kib, width, read, write, area, access in CACTI_RUNS:
        memory = Sram(bits=kib * 8192, width_bits=width, banks=banks, ports=ports)
        for estimate, value in ((memory.read_pj, read), (memory.write_pj, write)):
            inside += estimate.low <= value <= estimate.high
            total += 1
        area_inside += memory.area_um2.low <= area <= memory.area_um2.high
        assert memory.access_ns.low * 0.99 <= access <= memory.access_ns.high * 1.01
    assert total == 2 * len(CACTI_RUNS)
    assert inside >= 0.94 * total
    assert area_inside >= 0.85 * len(CACTI_RUNS)


def test_interval_widens_away_from_the_fit() -> None:
    spans = []
    for octaves in (0, 3, -3, 6, -6):
        energy = Sram(bits=int(REFERENCE_BITS * 2.0**octaves), width_bits=64).read_pj
        spans.append(math.log(energy.high / energy.low))
    assert spans[0] < spans[1] < spans[3]
    assert spans[1] == pytest.approx(spans[2])
    assert spans[3] == pytest.approx(spans[4])


def test_interval_is_made_from_the_comparisons() -> None:
    fit = sram.load_fit()
    bare = replace(fit, error_at_reference=0.0, log_error_per_octave=0.0)
    share, growth = fit_sram._interval(bare)
    assert (share, growth) == (fit.error_at_reference, fit.log_error_per_octave)
    found = fit_sram.deviations(fit, fit_sram.comparisons())
    inside = sum(abs(log) <= math.log1p(share) + growth * octaves for octaves, log in found)
    assert inside >= 0.94 * len(found)


def test_columns_fill_a_stripe() -> None:
    columns = column_mux(WIDTHS[WIDTHS < 1024]) * WIDTHS[WIDTHS < 1024]
    assert columns.min() >= 1024 and columns.max() <= 2047
    assert column_mux([1024, 1536, 2048, 4096]).tolist() == [1, 1, 1, 1]


def test_leakage_limits_are_far_apart() -> None:
    leakage = Sram(bits=REFERENCE_BITS, width_bits=128).leakage_mw
    assert leakage.high == pytest.approx(303.9, rel=1e-3)
    assert leakage.low == pytest.approx(0.01419, rel=1e-3)
    assert leakage.value == pytest.approx(25.92, rel=1e-3)


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"bits": 4}, "bits is 4"),
        ({"width_bits": 0}, "width_bits is 0"),
        ({"banks": 0}, "banks is 0"),
        ({"bits": 1024, "width_bits": 512, "banks": 4}, "do not fit"),
        ({"ports": "2rw"}, "unknown SRAM ports '2rw'"),
    ],
)
def test_refused_memories(changes: dict[str, object], match: str) -> None:
    with pytest.raises(InputError, match=match):
        Sram(**{"bits": 1 << 20, "width_bits": 64, **changes})  # type: ignore[arg-type]
