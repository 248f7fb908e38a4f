"""The Chinese catalogue beside what the source has: by babel."""

from __future__ import annotations

import io
from functools import cache
from pathlib import Path
from string import Formatter
from typing import Final

from babel.messages.catalog import Catalog
from babel.messages.extract import extract_from_dir
from babel.messages.pofile import read_po, write_po

import promomsg

__all__ = ["PO", "holes", "problems", "read", "source", "update"]

PACKAGE: Final = Path(promomsg.__file__).parent
PO: Final = PACKAGE / "cli" / "locale" / "zh_CN" / "LC_MESSAGES" / "promomsg.po"

_HEADER: Final = """\
# The terminal in Chinese. Holes keep their numbers: {0!r} of the English is {0} here.
# `python -m tests.messages` says what is missing; CONTRIBUTING.md, "Chinese".
msgid ""
msgstr ""
"Content-Type: text/plain; charset=UTF-8\\n"
"Language: zh_CN\\n"

"""
_FILES: Final = [
    ("testing/**", "ignore"),
    ("crashpoints.py", "ignore"),
    ("journal/*/statements/**", "ignore"),
    ("telemetry/otel.py", f"{__package__}.source_texts:extract_errors"),
    ("sandbox/**", f"{__package__}.source_texts:extract_errors"),
    ("**.j2", "jinja2.ext:babel_extract"),
    ("**.py", f"{__package__}.source_texts:extract"),
]
"""Which texts of a file a person may read on a terminal: of the sandbox its own errors, since its answers
are a provider's, and of OpenTelemetry's names not the names."""


@cache
def source() -> Catalog:
    """Every text of the package, without translations."""
    found = Catalog(charset="utf-8")
    for name, _, message, comments, _ in extract_from_dir(PACKAGE, method_map=_FILES):
        found.add(message, locations=[(f"promomsg/{name}", 0)], auto_comments=comments[:1])
    return found


def read() -> Catalog:
    """The catalogue as it is in the repository, without the messages that have no Chinese: after a merge of
    two changes one may stand there twice, once with and once without."""
    entries = PO.read_text(encoding="utf-8").rstrip("\n").split("\n\n")
    filled = "\n\n".join(entry for entry in entries if not entry.endswith('msgstr ""'))
    return read_po(io.BytesIO(filled.encode()), locale="zh_CN", charset="utf-8")


def update() -> int:
    """Writes the catalogue anew: the source's texts, each with its Chinese or with none. Returns how many
    have none."""
    before = {message.id: message.string for message in read()} if PO.exists() else {}
    catalogue = Catalog(locale="zh_CN", charset="utf-8")
    for message in source():
        if message.id:
            files = sorted({(name, None) for name, _ in message.locations})
            catalogue.add(
                message.id,
                before.get(message.id, ""),
                locations=files[:1],
                auto_comments=message.auto_comments[:1],
            ).flags.clear()
    written = io.BytesIO()
    write_po(written, catalogue, width=0, omit_header=True, sort_output=True)
    PO.write_text(_HEADER + written.getvalue().decode().strip() + "\n", encoding="utf-8")
    return sum(not message.string for message in catalogue if message.id)


def holes(text: str) -> set[str]:
    """The numbers of a message's holes."""
    return {name for _, name, _, _ in Formatter().parse(text) if name is not None}


def problems() -> list[str]:
    """What a person who reads Chinese would miss, a line each."""
    have = {str(message.id): str(message.string) for message in read() if message.id}
    wanted = {str(message.id): message.locations[0][0] for message in source() if message.id}
    missing = [f"{wanted[id]}: no Chinese: {id}" for id in wanted if not have.get(id)]
    surplus = [f"not in the source any more: {id}" for id in have if id not in wanted]
    other = [
        f"{wanted[id]}: other holes: {id}"
        for id, text in have.items()
        if text and id in wanted and holes(id) != holes(text)
    ]
    entries = PO.read_text(encoding="utf-8").split("\n\n")
    twice = [f"translated twice: {entry}" for entry in entries if entry.count("\nmsgstr ") > 1]
    return sorted([*missing, *surplus, *other, *twice])
