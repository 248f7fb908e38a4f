"""The architecture, drawn from the layers that import-linter holds (pyproject.toml)."""

from __future__ import annotations

import ast
import tomllib
from typing import Final

from drawing import arrow, box, picture, text
from outside import ROOT

_WIDTH: Final = 1055
_LEFT: Final = 30
_RIGHT: Final = 835
"""Where the layers end; the sandbox, which imports none of them, stands to the right."""
_HIGH: Final = 30
_STEP: Final = 36
_GAP: Final = 10
_LETTER: Final = 8.2
_BOX: Final = 144
"""Wide enough for the longest name of a folder."""


def layers() -> list[list[str]]:
    """The modules of each layer, the highest layer first."""
    held = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["importlinter"]
    (found,) = (c["layers"] for c in held["contracts"] if c["name"] == "Arrows point one way")
    return [
        [name.strip().removeprefix("promomsg.") for name in layer.split("|")] for layer in found
    ]


def is_folder(name: str) -> bool:
    """Whether a module is a folder of the package."""
    return (ROOT / "promomsg" / name).is_dir()


def _about(name: str) -> str:
    """The first sentence of a folder's own docstring."""
    source = (ROOT / "promomsg" / name / "__init__.py").read_text(encoding="utf-8")
    first = (ast.get_docstring(ast.parse(source)) or "").split("\n\n")[0].replace("\n", " ")
    first = first.partition(". ")[0].replace("`", "")
    return first.rstrip(".")


def _bands() -> list[list[list[str]]]:
    """The layers as they are drawn: one with folders by itself, those of single files that follow each
    other together."""
    bands: list[list[list[str]]] = []
    for names in layers():
        files = not any(map(is_folder, names))
        if files and bands and not any(map(is_folder, bands[-1][0])):
            bands[-1].append(names)
        else:
            bands.append([names])
    return bands


def _folder_rows(names: list[str], top: float) -> tuple[list[str], float]:
    """Each folder on a line of its own, with what it is; and where the next line would be."""
    parts = []
    for name in names:
        shown = f"{name}/" if is_folder(name) else name
        parts.append(box(_LEFT + 10, top, _BOX, _HIGH, "moving" if is_folder(name) else ""))
        parts.append(text(_LEFT + 10 + _BOX / 2, top + 20, shown, "name middle"))
        parts.append(
            text(_LEFT + 24 + _BOX, top + 20, _about(name) if is_folder(name) else "", "soft")
        )
        top += _STEP
    return parts, top


def _file_rows(layers: list[list[str]], top: float) -> tuple[list[str], float]:
    """The files of some layers, a layer on a line where it fits; and where the next line would be."""
    parts: list[str] = []
    for number, names in enumerate(layers):
        if number:
            parts.append(f'<path class="line asked" d="M{_LEFT + 10} {top - 3:g}H{_RIGHT - 10}"/>')
        x = _LEFT + 10.0
        for name in names:
            wide = len(name) * _LETTER + 20
            if x + wide > _RIGHT - 10:
                x, top = _LEFT + 10.0, top + _STEP
            parts += [box(x, top, wide, _HIGH), text(x + wide / 2, top + 20, name, "middle")]
            x += wide + _GAP
        top += _STEP
    return parts, top


def architecture() -> str:
    """Folders and files by layer: each imports only from layers below its own."""
    parts: list[str] = []
    y = 30.0
    for number, band in enumerate(_bands()):
        folders = any(map(is_folder, band[0]))
        rows, end = _folder_rows(band[0], y + 10) if folders else _file_rows(band, y + 10)
        if number:
            parts.append(arrow(((_LEFT + 10 + _BOX / 2, y - 18), (_LEFT + 10 + _BOX / 2, y))))
        frame = f'x="{_LEFT}" y="{y:g}" width="{_RIGHT - _LEFT}" height="{end + 4 - y:g}" rx="9"'
        parts += [f'<rect class="line" {frame}/>', *rows]
        y = end + 4 + 20
    left = _RIGHT + 20
    parts += [
        box(left, 40, _BOX, _HIGH, "moving"),
        text(left + _BOX / 2, 60, "sandbox/", "name middle"),
        *(text(left, 92 + 17 * n, line, "soft") for n, line in enumerate(_APART)),
        text(_LEFT, y + 4, _NOTE, "soft"),
    ]
    return picture(_WIDTH, int(y + 22), "The layers of the package", parts)


_APART: Final = (
    "Stands for both providers,", "and imports none of these", "but small modules: a shared",
    "codec would hide a shared", "mistake.",
)  # fmt: skip
_NOTE: Final = "Each imports from what is below it, never from above or from beside."
