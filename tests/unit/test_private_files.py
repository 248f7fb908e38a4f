"""Files of ours in a folder that others write to: no planted link is followed, nobody else reads."""

from __future__ import annotations

import fcntl
import os
import stat
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from promomsg.cli.output.resumable_csv import PartialCsv
from promomsg.errors import UsageError
from promomsg.private_files import open_private, rename_new, replaced_file, write_private
from promomsg.sandbox import Ledger

FLAGS = os.O_RDWR | os.O_CREAT


def pulled(path: Path) -> None:
    with PartialCsv(path.with_name(path.name.removesuffix(".partial")), ("id",), {}) as partial:
        partial.add(["1"])


def kept(path: Path) -> None:
    ledger = Ledger(path)
    ledger.fault("reset", endpoint="sendmsg", call=1)
    ledger.close()


WRITERS: list[tuple[str, Callable[[Path], None]]] = [("p.csv.partial", pulled), ("l.jsonl", kept)]


@pytest.mark.parametrize("plant", [os.symlink, os.link])
@pytest.mark.parametrize(("name", "write"), WRITERS)
def test_a_planted_link_is_not_followed(
    name: str,
    write: Callable[[Path], None],
    plant: Callable[[Path, Path], None],
    tmp_path: Path,
) -> None:
    victim = tmp_path / "victim"
    victim.write_text("precious")
    victim.chmod(0o644)
    plant(victim, tmp_path / name)
    with pytest.raises(UsageError, match="it is a link"):
        write(tmp_path / name)
    assert victim.read_text() == "precious"
    assert stat.S_IMODE(victim.stat().st_mode) == 0o644


@pytest.mark.parametrize(("name", "write"), WRITERS)
def test_a_file_left_open_to_others_is_made_private(
    name: str, write: Callable[[Path], None], tmp_path: Path
) -> None:
    path = tmp_path / name
    path.touch()
    path.chmod(0o666)
    write(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.parametrize(("name", "write"), WRITERS)
def test_somebody_elses_file_is_not_written_to(
    name: str, write: Callable[[Path], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / name).touch()
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    with pytest.raises(UsageError, match="somebody else"):
        write(tmp_path / name)


def test_what_is_no_regular_file_is_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OSError, match="not a regular file"):
        open_private(tmp_path / "pipe", os.O_RDWR)
    with pytest.raises(OSError, match=r"directory|regular"):
        open_private(tmp_path, os.O_RDONLY)


def test_a_whole_file_takes_the_place_of_a_link_and_leaves_what_it_pointed_to(
    tmp_path: Path,
) -> None:
    victim = tmp_path / "victim"
    victim.write_text("precious")
    for name in ("f", "f.partial"):
        (tmp_path / name).symlink_to(victim)
    write_private(tmp_path / "f", b"ours")
    assert victim.read_text() == "precious"
    assert (tmp_path / "f").read_text() == "ours"
    assert not (tmp_path / "f").is_symlink()


@pytest.mark.parametrize("system", ["with", "without"])
def test_a_name_that_has_appeared_is_not_replaced(
    system: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if system == "without":
        monkeypatch.setattr("ctypes.CDLL", lambda *a, **k: object())
    old, new = tmp_path / "old", tmp_path / "new"
    old.write_text("ours")
    new.write_text("theirs")
    with pytest.raises(FileExistsError):
        rename_new(str(old), str(new))
    assert (old.read_text(), new.read_text()) == ("ours", "theirs")
    rename_new(str(old), str(tmp_path / "fresh"))
    assert (tmp_path / "fresh").read_text() == "ours"
    with pytest.raises(FileNotFoundError):
        rename_new(str(old), str(tmp_path / "other"))


def test_what_a_killed_process_has_left_of_a_report_goes_with_the_next_one(tmp_path: Path) -> None:
    report, an_hour_ago = tmp_path / "report.csv", time.time() - 3600
    made = {
        name: tmp_path / f".{name}.partial"
        for name in ("report.csv.abcd_123", "report.csv.12345678", "report.csv.mine", "other.csv.abcd_123")
    }  # fmt: skip
    for path in made.values():
        path.write_text("key,name")
        os.utime(path, (an_hour_ago, an_hour_ago))
    with open(made["report.csv.12345678"], "rb") as written:
        fcntl.flock(written, fcntl.LOCK_EX)  # somebody else writes the same report
        with replaced_file(report) as file:
            file.write(b"first")
    assert report.read_bytes() == b"first"
    assert not made["report.csv.abcd_123"].exists()
    assert {path.name for path in tmp_path.iterdir() if path.suffix == ".partial"} == {
        ".other.csv.abcd_123.partial",
        ".report.csv.12345678.partial",
        ".report.csv.mine.partial",
    }


def test_one_that_was_made_this_moment_is_left_to_whoever_made_it(tmp_path: Path) -> None:
    new = tmp_path / ".report.csv.abcd_123.partial"
    new.write_text("key,name")
    with replaced_file(tmp_path / "report.csv") as file:
        file.write(b"whole")
    assert new.exists()
