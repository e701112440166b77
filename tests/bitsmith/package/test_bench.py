"""`make` in a package's tb/, in an environment that knows nothing of bitsmith."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from bitsmith.package import write_package
from bitsmith.package.jobs import recorded_jobs

from .machines import SMALL, small_files, tools

pytestmark = pytest.mark.rtl

MAKE = ("make", "mkdir", "rm", "mv")


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """The package of the small machine, alone in a folder."""
    if not all(map(shutil.which, ("g++", "make", "perl"))):
        pytest.skip("needs g++, make and perl")
    write_package(tmp_path / "package", small_files())
    return tmp_path / "package"


def make(package: Path, target: str, environment: dict[str, str]) -> subprocess.CompletedProcess:
    """Run `make target` from elsewhere."""
    elsewhere = package.parent / "elsewhere"
    elsewhere.mkdir(exist_ok=True)
    return subprocess.run(
        ["make", "-C", str(package / "tb"), target, "OPTIMIZE=-O0"],
        cwd=elsewhere, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip


def test_bench_passes_and_a_broken_design_fails(package: Path, tmp_path: Path) -> None:
    environment = tools(tmp_path / "tools", *MAKE)
    done = make(package, "test", environment)
    assert done.returncode == 0, done.stdout + done.stderr
    jobs = recorded_jobs(SMALL)
    words = sum(len(job.results) for job in jobs)
    assert f"PASS: {len(jobs)} jobs, {words} result words" in done.stdout
    for job in jobs:
        assert re.search(rf"^ok +{job.name} +\d+ cycles", done.stdout, re.MULTILINE)
        if job.cycles:
            assert f" {job.cycles} cycles" in done.stdout

    # another result, register, answer or cycle in the record is noticed
    path = package / "tb" / "jobs" / "02_ragged_k.txt"
    text = path.read_text()
    for pattern, changed, message in (
        (r"^(r \d+ 0 \d+ )(..)", r"\g<1>a5", r"result word 0: expected a5"),
        (r"^(r \d+ )1( )", r"\g<1>0\2", "TLAST: expected 0, got 1"),
        (r"^(w \d+ \d )(\d+)(?= )", r"\g<1>9999", "weight word 0: cycle of its acceptance"),
        (r"^(a \d+ \d )(\d+)(?= )", r"\g<1>9999", "activation word 0: cycle of its acceptance"),
        (r"^(read \d+ )\d+ COUNT_TILES", r"\g<1>77 COUNT_TILES", "COUNT_TILES: expected 77"),
        (r"^interrupt 1", "interrupt 0", "interrupt: expected 0, got 1"),
        (r"^(run \d+) \d+", r"\g<1> 3", "cycles of the job: expected 3"),
        (r"^write \d+ 1 CONTROL", "write 20 1 STATUS", "answer to writing STATUS: expected 0"),
    ):
        broken, count = re.subn(pattern, changed, text, count=1, flags=re.MULTILINE)
        assert count and broken != text, pattern
        path.write_text(broken)
        done = make(package, "test", environment)
        assert done.returncode != 0, pattern
        assert "FAIL: job ragged_k: " in done.stdout and message in done.stdout, done.stdout
        assert "PASS" not in done.stdout
    path.write_text(text)

    design = package / "rtl" / "bitsmith_accelerator.v"
    verilog = design.read_text()
    place = verilog.index("__pe_array__pe_0_0(")
    place = verilog.index(" <= ", verilog.index("always @(posedge", place)) + 4
    design.write_text(f"{verilog[:place]}~{verilog[place:]}")
    done = make(package, "test", environment)
    assert done.returncode != 0
    assert re.search(r"^FAIL: job \w+: .*expected \w+, got \w+$", done.stdout, re.MULTILINE)
    assert "PASS" not in done.stdout


END_TO_END = """
import importlib.util, sys
from pathlib import Path
for name in ("bitsmith", "numpy", "amaranth"):
    assert importlib.util.find_spec(name) is None, name
package = Path(sys.argv[1])
sys.path.insert(0, str(package / "driver"))
import bitsmith_accelerator as driver
from verilated_backend import BusError, Verilated
recorded = [driver.read_job(path) for path in sorted((package / "tb" / "jobs").glob("*.txt"))]
backend = Verilated(package / "tb" / "build" / "libbitsmith_accelerator.so")
accelerator = driver.Accelerator(backend)
accelerator.enable_interrupts(driver.Interrupts.DONE | driver.Interrupts.ERROR)
for job in recorded:
    assert not backend.interrupt
    try:
        assert accelerator.run(job.job) == job.results, job.name
        assert not job.errors
    except driver.JobError as error:
        assert error.errors == job.errors == driver.Errors.WEIGHTS_SHORT, (error, job.errors)
        try:
            accelerator.run(job.job)
            raise SystemExit("started while in fault")
        except driver.NotReady:
            pass
        accelerator.clear()
    else:
        counters = accelerator.counters()
        assert counters["busy"] == sum(counters[c] for c in driver.COUNTERS if c in CAUSES)
        assert counters["weight_words"] == sum(map(len, job.job.weights)) // 2
        for name, places in driver.FLAGS.items():
            wanted = sum(job.expected[p] << 32 * i for i, p in enumerate(places))
            assert accelerator.flags()[name] == [b for b in range(64) if wanted >> b & 1]
    assert backend.interrupt
    assert accelerator.acknowledge()
first = recorded[0].job
# aborted: nothing is sent, then the driver clears, and the next job is right
backend.transfer, kept = (lambda *_: (accelerator.abort(), b"")[1]), backend.transfer
try:
    accelerator.run(first)
    raise SystemExit("not aborted")
except driver.Aborted as error:
    assert error.errors == driver.Errors.ABORTED
backend.transfer = kept
accelerator.clear()
assert accelerator.run(first) == recorded[0].results
# an impossible shape; a refused register; half a job
wrong = driver.Job({**first.shape, "GROUPS": 0}, [], [], 0)
for job, kind in ((wrong, driver.JobError),
                  (driver.Job(first.shape, first.weights, [], 4), driver.TransferError)):
    backend.patience_cycles = 1000
    try:
        accelerator.run(job)
        raise SystemExit(f"{kind} expected")
    except kind as error:
        assert type(error) is kind
    accelerator.abort()
    accelerator.clear()
assert accelerator.run(first) == recorded[0].results
for action in (lambda: backend.write(0, 1), lambda: backend.read(0xFC)):
    try:
        action()
        raise SystemExit("BusError expected")
    except BusError:
        pass
# a driver of another accelerator
driver.CONSTANTS[driver.Registers.FINGERPRINT] ^= 1
try:
    driver.Accelerator(backend)
    raise SystemExit("WrongAccelerator expected")
except driver.WrongAccelerator:
    pass
print("driver and model agree")
"""


def test_driver_runs_the_jobs_on_the_model(package: Path, tmp_path: Path) -> None:
    done = make(package, "lib", tools(tmp_path / "tools", *MAKE))
    assert done.returncode == 0, done.stdout + done.stderr
    causes = '("output", "dequantizer", "weights", "activations", "compute")'
    (example,) = re.findall(r"^```python\n(.*?)^```", (package / "README.md").read_text(),
                            re.MULTILINE | re.DOTALL)  # fmt: skip
    for script, folder, shown in (
        (f"CAUSES = {causes}\n{END_TO_END}", tmp_path / "elsewhere", "driver and model agree"),
        (f"import sys\nsys.path.insert(0, '.')\n{example}", package / "driver", "'busy': "),
    ):
        # no site-packages: nothing but the standard library
        done = subprocess.run(
            [sys.executable, "-I", "-S", "-c", script, str(package)],
            cwd=folder, env={}, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        assert shown in done.stdout
