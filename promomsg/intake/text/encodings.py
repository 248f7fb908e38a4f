"""Which encoding a text file has, decided by all of its bytes (docs/design.md, "Planning").

UTF-8 is strict, so that a file which decodes is one. A file in which most of what is not ASCII is
UTF-8 is a UTF-8 file with a damaged line, never one of another encoding: that would make every
name in it unreadable. Only what is left is tried as GB18030, which GBK and GB2312 are parts of.
"""

from __future__ import annotations

import codecs
import re
import unicodedata
from typing import Final

__all__ = ["BOMS", "CHINESE", "WIDE", "Utf8Census", "codec_of", "is_strange", "wide_of"]

CHINESE: Final = frozenset({"gb2312", "gbk", "gb18030", "cp936"})
WIDE: Final = ("utf-16", "utf-32")
BOMS: Final = {
    "utf-16": (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE),
    "utf-16-le": (codecs.BOM_UTF16_LE,),
    "utf-16-be": (codecs.BOM_UTF16_BE,),
    "utf-32": (codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE),
    "utf-32-le": (codecs.BOM_UTF32_LE,),
    "utf-32-be": (codecs.BOM_UTF32_BE,),
}
_SAMPLE: Final = 4096
_NOT_OF_FILES: Final = frozenset({"idna", "punycode", "unicode-escape", "raw-unicode-escape"})
_TRIAL: Final = 'id,name\n1,"a b"\n'
# re compiles it for a file that is damaged, or of another encoding.
_VALID: Final = (
    rb"([\xc2-\xdf][\x80-\xbf])"
    rb"|\xe0[\xa0-\xbf][\x80-\xbf]|[\xe1-\xec\xee\xef][\x80-\xbf]{2}|\xed[\x80-\x9f][\x80-\xbf]"
    rb"|\xf0[\x90-\xbf][\x80-\xbf]{2}|[\xf1-\xf3][\x80-\xbf]{3}|\xf4[\x80-\x8f][\x80-\xbf]{2}"
)
_ASCII: Final = bytes(range(128))
_LINE_ENDS: Final = re.compile(rb"\r\n|\r|\n")


class Utf8Census:
    """How much of a file's bytes beyond ASCII is UTF-8, and the first line that is not.

    Attributes:
        valid: bytes in characters of UTF-8. Two bytes in a row may be one by chance (of one
            Chinese name in forty as GBK writes it), so such a pair counts as one byte.
        bad: the others.
        first_bad: the number of the first line with one of them; 0 without any.
        has_long: there are characters of three bytes or more, as all Chinese ones are in UTF-8.
    """

    def __init__(self) -> None:
        self.valid = self.bad = self.first_bad = 0
        self.has_long = False
        self._line = 1

    def add(self, block: bytes) -> None:
        """Counts the next lines: all of a file's, up to and with a line feed."""
        if block.isascii():
            self._line += len(_LINE_ENDS.findall(block))
            return
        for line in _LINE_ENDS.split(block):
            self._count(line, self._line)
            self._line += 1
        self._line -= 1

    def _count(self, line: bytes, number: int) -> None:
        if line.isascii():
            return
        for found in re.finditer(_VALID, line):
            self.valid += 1 if found[1] else len(found[0])
            self.has_long |= found[1] is None
        if bad := len(re.sub(_VALID, b"", line).translate(None, _ASCII)):
            self.bad += bad
            self.first_bad = self.first_bad or number

    @property
    def is_utf8(self) -> bool:
        """Whether it was written as UTF-8, a damaged line or not."""
        return self.valid > self.bad


def is_strange(text: str) -> bool:
    """Whether a text holds private-use or unassigned characters: a wrong encoding's trace."""
    return not text.isascii() and any(unicodedata.category(c) in ("Co", "Cn") for c in set(text))


def wide_of(start: bytes) -> str | None:
    """The encoding to say when a file begins like UTF-16 (or UTF-32 with a BOM); else None.

    Without a BOM, the digits, commas and line ends of a list show it: every second byte of them is
    zero, and no byte in the other places is.
    """
    for name in ("utf-32", "utf-16"):
        if start.startswith(BOMS[name]):
            return name
    sample = start[:_SAMPLE]
    first, second = sample[0::2].count(0), sample[1::2].count(0)
    enough = max(3, len(sample) // 10)
    if second >= enough and not first:
        return "utf-16-le"
    return "utf-16-be" if first >= enough and not second else None


def codec_of(encoding: str) -> str | None:
    """The name of a codec that reads text files piece by piece; None when it is not one."""
    try:
        found = codecs.lookup(encoding)
        # base64 and rot13 are not from bytes to text, and the others are of single names.
        if not found._is_text_encoding or found.name in _NOT_OF_FILES:
            return None
        data = _TRIAL.encode(found.name)
        decoder = codecs.getincrementaldecoder(found.name)()
        pieces = [decoder.decode(data[i : i + 1]) for i in range(len(data))]
        whole = "".join([*pieces, decoder.decode(b"", final=True)])
    except (LookupError, ValueError, TypeError):  # not there, or punycode, undefined
        return None
    return found.name if whole == _TRIAL else None
