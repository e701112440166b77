"""The floors are bitsmith's own, whatever else has their names."""

import subprocess
import sys
from pathlib import Path


def python(code: str, folder: Path) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=False
    )


def foreign_configs(folder: Path) -> None:
    (folder / "configs").mkdir()
    (folder / "configs" / "__init__.py").write_text("raise SystemExit('hijacked')\n")


def test_foreign_package_in_the_working_directory_does_not_hijack(tmp_path: Path) -> None:
    foreign_configs(tmp_path)
    done = subprocess.run(
        [sys.executable, "-m", "bitsmith", "formats", "--json"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "bitmod_fp4" in done.stdout


def test_foreign_package_imported_before_is_named(tmp_path: Path) -> None:
    (tmp_path / "sim").mkdir()
    (tmp_path / "sim" / "__init__.py").write_text("")
    done = python("import sys; sys.path.insert(0, '.'); import sim; import bitsmith", tmp_path)
    assert done.returncode != 0
    message = done.stderr.strip().splitlines()[-1]
    assert "bitsmith needs its own package 'sim'" in message
    assert str(tmp_path / "sim") in message


def test_public_names_exist() -> None:
    import bitsmith

    assert sorted(bitsmith.__all__) == bitsmith.__all__
    assert all(hasattr(bitsmith, name) for name in bitsmith.__all__)
