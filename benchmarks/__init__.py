"""Side-by-side measurements, re-runnable: ``python -m benchmarks.NAME``."""
