"""The files of `promomsg demo`, from `promomsg/cli/demo/`: an edited copy is told apart and kept."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Final

__all__ = ["PORT", "RESULTS", "SECRETS", "files_for", "folder_for", "write_files"]

PORT: Final = 8765
"""Where the demo's campaign files expect a sandbox of the user's own; they say it too."""

RESULTS: Final = ("report.json", "failures.csv")
SECRETS: Final = ("appsecret.txt", "key.pem")
"""Made once and kept; readable by their owner only."""

_OF_CHANNEL: Final = {
    "wechat": ("autumn.toml", "blocked.csv", "vip.toml", "vip.csv"),
    "alipay": ("wallet.toml", "wallet-users.csv"),
}
_SHIPPED_FOLDER: Final = "promomsg-demo/"
"""How the shipped files name the folder they are in."""


def files_for(channels: tuple[str, ...], folder: str) -> dict[str, str]:
    """The input files by name.

    Args:
        channels: `"wechat"`, `"alipay"` or both.
        folder: as the user would type it.
    """
    names = ["sandbox.toml", *(name for channel in channels for name in _OF_CHANNEL[channel])]
    shipped = resources.files("promomsg.cli").joinpath("demo")
    files = {
        name: shipped.joinpath(name).read_text("utf-8").replace(_SHIPPED_FOLDER, f"{folder}/")
        for name in names
    }
    if "wechat" in channels:
        files["promoters.csv"] = _promoters()
    return files


def _promoters() -> str:
    """1,200 rows: 1,180 promoters, and 20 of them twice."""
    numbers = [*range(1, 1_181), *range(50, 1_050, 50)]
    return "key,id,name\n" + "".join(f"p{n:04d},{200_000 + n},推广员{n}\n" for n in numbers)


def folder_for(wanted: Path, channels: tuple[str, ...]) -> tuple[Path, list[str]]:
    """Where the demo may write: `wanted` when it is new or nothing in it was edited, else a
    numbered one beside it. Also returns the names of what was edited.
    """
    changed: list[str] = []
    folder, number = wanted, 1
    while True:
        edited = _edited(folder, files_for(channels, str(folder)))
        if not edited:
            return folder, changed
        changed = changed or edited
        number += 1
        folder = wanted.with_name(f"{wanted.name}-{number}")


def _edited(folder: Path, files: Mapping[str, str]) -> list[str]:
    if not folder.exists():
        return []
    if not folder.is_dir():
        return [folder.name]
    edited = []
    ours = False
    for name, text in files.items():
        try:
            there = (folder / name).read_bytes()
        except FileNotFoundError:
            continue
        except OSError:
            edited.append(name)
            continue
        if there == text.encode():
            ours = True
        else:
            edited.append(name)
    if not ours and not edited:
        # A folder of other files: none of them is the demo's.
        edited = [entry.name for entry in folder.iterdir() if entry.name in _TAKEN]
    # A demo that is being sent from there just now.
    return edited + [entry.name for entry in folder.glob("demo-*.db.lock")]


_TAKEN: Final = frozenset({*RESULTS, *SECRETS, "demo-autumn.db", "demo-vip.db", "demo-wallet.db"})


def write_files(folder: Path, files: Mapping[str, str]) -> None:
    """Writes what is not there yet.

    Raises:
        OSError: the folder cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        path = folder / name
        if not path.exists():
            path.write_bytes(text.encode())
