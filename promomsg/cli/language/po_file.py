"""Compiles a catalogue, `.po`, to what the standard library's gettext reads, `.mo`. It needs nothing
but Python: the wheel's build runs it by its path, and a source tree has no `.mo` that could be old."""

from __future__ import annotations

import ast
import struct

__all__ = ["compile_po"]


def compile_po(text: str) -> bytes:
    """The bytes of the `.mo`: the same for the same messages, in whatever order they stand.

    Messages without a translation, fuzzy and obsolete ones are left out.

    Args:
        text: of a `.po` without plural forms and contexts.
    """
    messages: dict[str, str] = {}
    for entry in text.split("\n\n"):
        fields = {"msgid": "", "msgstr": ""}
        name, usable = "", False
        for line in entry.splitlines():
            if line.startswith("#"):
                if line.startswith("#,") and "fuzzy" in line:
                    break
                continue
            keyword, _, rest = line.partition(" ")
            if keyword in fields:
                name, usable = keyword, True
                fields[name] = ""
                line = rest
            if name:
                fields[name] += ast.literal_eval(line)
        else:
            if usable and fields["msgstr"]:
                messages[fields["msgid"]] = fields["msgstr"]
    return _written(messages)


def _written(messages: dict[str, str]) -> bytes:
    """gettext's format: a header, two tables of lengths and places, and the texts."""
    pairs = sorted((msgid.encode(), text.encode()) for msgid, text in messages.items())
    number = len(pairs)
    at = 7 * 4 + number * 16
    tables, texts = [b"", b""], b""
    for which in (0, 1):
        for pair in pairs:
            tables[which] += struct.pack("<2I", len(pair[which]), at + len(texts))
            texts += pair[which] + b"\0"
    header = struct.pack("<7I", 0x950412DE, 0, number, 28, 28 + number * 8, 0, 0)
    return header + tables[0] + tables[1] + texts
