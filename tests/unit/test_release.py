"""What a company that checks its packages asks of ours: the same commit makes the same bytes."""

from __future__ import annotations

import gettext
import io
import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PARTS = (
    "promomsg", "tests", "benchmarks", "docs", "examples", "hatch_build.py", "pyproject.toml", "README.md",
    "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md", "LICENSE",
)  # fmt: skip


def build(folder: Path, *, at: int, umask: int) -> dict[str, bytes]:
    """The packages made from a copy of the sources, whose files are of the time `at`."""
    source = folder / "source"
    for part in PARTS:
        there = ROOT / part
        if there.is_dir():
            skip = shutil.ignore_patterns("__pycache__", "*.pyc", "*.db*")
            shutil.copytree(there, source / part, ignore=skip)
        else:
            source.mkdir(parents=True, exist_ok=True)
            shutil.copy(there, source / part)
    for path in source.rglob("*"):
        os.utime(path, (at, at))
        path.chmod(0o777 & ~umask if path.is_dir() else 0o666 & ~umask)
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "--directory", str(folder / "dist")],
        cwd=source, check=True, capture_output=True, timeout=60,
        env={**os.environ, "SOURCE_DATE_EPOCH": "1760000000"},
    )  # fmt: skip
    return {made.name: made.read_bytes() for made in (folder / "dist").iterdir()}


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    return build(tmp_path_factory.mktemp("here"), at=1_700_000_000, umask=0o022)


def test_two_machines_make_the_same_packages(packages: dict[str, bytes], tmp_path: Path) -> None:
    again = build(tmp_path / "elsewhere", at=1_750_000_000, umask=0o077)
    assert sorted(packages) == ["promomsg-0.1.0-py3-none-any.whl", "promomsg-0.1.0.tar.gz"]
    assert packages == again


def test_the_wheel_has_what_is_not_python_too(packages: dict[str, bytes], tmp_path: Path) -> None:
    wheel = tmp_path / "promomsg.whl"
    wheel.write_bytes(packages["promomsg-0.1.0-py3-none-any.whl"])
    with zipfile.ZipFile(wheel) as opened:
        names = set(opened.namelist())
    shipped = {
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "promomsg").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert shipped <= names
    assert "promomsg/py.typed" in names
    assert not [name for name in names if not name.startswith(("promomsg/", "promomsg-0.1.0."))]


def test_the_wheel_has_the_chinese_of_the_terminal_compiled(
    packages: dict[str, bytes], tmp_path: Path
) -> None:
    folder = "promomsg/cli/locale/zh_CN/LC_MESSAGES/"
    wheel = tmp_path / "promomsg.whl"
    wheel.write_bytes(packages["promomsg-0.1.0-py3-none-any.whl"])
    with zipfile.ZipFile(wheel) as opened:
        compiled = gettext.GNUTranslations(io.BytesIO(opened.read(f"{folder}promomsg.mo")))
    assert compiled.gettext("nothing was sent") == "没有发送任何消息"


def test_the_source_has_the_tests_and_the_pages(packages: dict[str, bytes], tmp_path: Path) -> None:
    source = tmp_path / "promomsg.tar.gz"
    source.write_bytes(packages["promomsg-0.1.0.tar.gz"])
    with tarfile.open(source) as opened:
        names = {name.partition("/")[2] for name in opened.getnames()}
    assert {
        "tests/conftest.py",
        "docs/design.md",
        "hatch_build.py",
        "SECURITY.md",
        "CHANGELOG.md",
    } <= names
