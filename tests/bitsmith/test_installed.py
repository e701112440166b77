"""The built wheel, installed in another environment and folder, runs the quickstart."""

import os
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def call(*command: str | Path, folder: Path) -> str:
    clean = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    done = subprocess.run(
        list(map(str, command)), cwd=folder, capture_output=True, text=True, check=False, env=clean
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.rtl
def test_wheel_runs_the_quickstart(tmp_path: Path) -> None:
    tracked = call("git", "ls-files", folder=ROOT).splitlines()
    source = tmp_path / "source"
    for name in tracked:
        target = source / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes((ROOT / name).read_bytes())
    build = "import setuptools.build_meta as b; print(b.build_wheel('../dist'))"
    (tmp_path / "dist").mkdir()
    call(sys.executable, "-c", build, folder=source)
    wheel = next((tmp_path / "dist").glob("bitsmith-*.whl"))
    assert wheel.stat().st_size < 4 << 20
    call(sys.executable, "-m", "venv", "--without-pip", "venv", folder=tmp_path)
    fresh = tmp_path / "venv" / "bin" / "python"
    packages = Path(call(fresh, "-c", "import site; print(site.getsitepackages()[0])",
                         folder=tmp_path).strip())  # fmt: skip
    # dependencies come from this environment; its editable bitsmith does not (nested .pth files
    # are not read)
    (packages / "dependencies.pth").write_text(sysconfig.get_paths()["purelib"] + "\n")
    call(sys.executable, "-m", "zipfile", "-e", wheel, packages, folder=tmp_path)
    where = call(fresh, "-c", "import bitsmith, configs; print(configs.__file__)", folder=tmp_path)
    assert where.startswith(str(packages))
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    printed = call(fresh, "-m", "bitsmith", "run", "quickstart", folder=elsewhere)
    assert "difference 0" in printed
    assert (elsewhere / "runs" / "quickstart" / "report.html").is_file()
    call(fresh, "-m", "bitsmith", "rtl", "quickstart", "--out", "package", folder=elsewhere)
    for name in ("tb/Makefile", "driver/bitsmith_accelerator.py", "rtl/bitsmith_accelerator.v"):
        assert (elsewhere / "package" / name).is_file()
