"""The benchmark of narrow accumulators, on little of everything."""

from benchmarks import narrow
from configs.schema import load_run


def test_it_prints_widths_and_speed(capsys) -> None:
    study = narrow.width_study(load_run("quickstart"), "int4", 128, 32, 16)
    narrow.print_layers(study)
    bits = study.observed_bits("inner", "saturate") - 1
    narrow.print_row(study.row("inner", "saturate", bits))
    narrow.print_speed(tokens=8, size=128)
    printed = capsys.readouterr().out
    assert "inner: proved" in printed and f"{bits:2} bits:" in printed
    assert "saturate:" in printed and "M term-steps/s" in printed
