"""A power cut: what was synced is on the disk, of the rest a random part, torn by sector.

A preloaded `fsync` (power_cut.c) keeps what each sync made durable: a file's content when it was
synced, a name only once its folder was. After the kill the folder is made from that.
"""

from __future__ import annotations

import os
import subprocess
import sysconfig
from pathlib import Path
from random import Random
from typing import Final

from .fork_server import ForkServer

__all__ = ["PowerCut", "build_library"]

_SECTOR: Final = 512
_SOURCE: Final = Path(__file__).with_name("power_cut.c")


def build_library(source: Path, to: Path) -> None:
    """Compiles a library that a process is to preload."""
    compiler = (sysconfig.get_config_var("CC") or "cc").split()[0]
    subprocess.run([compiler, "-shared", "-fPIC", "-O1", "-o", to, source], check=True)


class PowerCut:
    """The disk under one folder.

    Args:
        folder: of the journal; its real path.
        room: a folder for its own files.
        name: the journal's; whatever of the folder does not begin with it is left alone.
    """

    def __init__(self, folder: Path, name: str, room: Path) -> None:
        self._folder = folder
        self._name = name
        self._library = room / "power_cut.so"
        self._disk = room / "disk"
        self._disk.mkdir()
        build_library(_SOURCE, self._library)

    def fork_server(self) -> ForkServer:
        """Whose children have this disk."""
        return ForkServer(
            LD_PRELOAD=str(self._library),
            POWER_CUT_FOLDER=str(self._folder),
            POWER_CUT_DISK=str(self._disk),
        )

    def cut(self, rng: Random) -> None:
        """Makes the folder what it is when the power comes back."""
        durable = self._names()
        current = {
            path.name: path.read_bytes()
            for path in self._folder.iterdir()
            if path.name.startswith(self._name)
        }
        keys = {name: self._key(name) for name in current}
        after: dict[str, bytes] = {}
        for name in sorted(durable.keys() | current.keys()):
            # A name that was made, removed or changed hands since: as it was, or as it is.
            key = durable.get(name)
            if key != keys.get(name) and rng.random() < 0.5:
                key = keys.get(name)
            if key is None:
                continue
            kept = self._disk / key
            old = kept.read_bytes() if kept.exists() else b""
            new = current[name] if keys.get(name) == key else old
            after[name] = _torn(old, new, rng)
        for name in current:
            (self._folder / name).unlink()
        for path in self._disk.iterdir():
            path.unlink()
        lines = []
        for name, content in after.items():
            (self._folder / name).write_bytes(content)
            (self._folder / name).chmod(0o600)
            key = self._key(name)
            (self._disk / key).write_bytes(content)
            lines.append(f"{key}\t{name}\n")
        (self._disk / "names").write_text("".join(lines))

    def _names(self) -> dict[str, str]:
        names = self._disk / "names"
        if not names.exists():
            return {}
        pairs = (line.split("\t") for line in names.read_text().splitlines())
        return {name: key for key, name in pairs if name.startswith(self._name)}

    def _key(self, name: str) -> str:
        """As power_cut.c names a file: Python's own `stat` has no time of birth."""
        told = subprocess.run(
            ["stat", "--format", "%i %W %w", "--", name],
            cwd=self._folder,
            capture_output=True,
            text=True,
            check=True,
            env={**os.environ, "TZ": "UTC", "LC_ALL": "C"},
        ).stdout.split()
        inode, seconds = told[0], told[1]
        if told[2] == "-":
            return f"{inode}-0.0"
        return f"{inode}-{seconds}.{int(told[3].partition('.')[2])}"


def _torn(old: bytes, new: bytes, rng: Random) -> bytes:
    """What was synced, and some sectors of what was written since; as long as it was, or is."""
    if old == new:
        return new
    share = rng.choice([0.0, 0.1, 0.5, 0.9, 1.0])
    length = rng.choice([len(old), len(new)])
    content = bytearray(old[:length].ljust(length, b"\0"))
    for at in range(0, length, _SECTOR):
        if at < len(new) and rng.random() < share:
            sector = new[at : at + _SECTOR][: length - at]
            content[at : at + len(sector)] = sector
    return bytes(content)
