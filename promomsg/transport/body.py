"""An answer's body: all of it, plain, and never more than it may be."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from typing import Final

import aiohttp
from multidict import istr

from promomsg.errors import OutcomeUnknown

__all__ = ["ENCODED", "encoding_of", "inflate", "read_rest"]

ENCODED: Final = istr("Content-Encoding")

_COMPRESSED: Final = frozenset({"gzip", "x-gzip", "deflate"})
_GZIP: Final = b"\x1f\x8b"


async def read_rest(
    headers: Mapping[str, str], content: aiohttp.StreamReader, first: bytes, limit: int
) -> bytes:
    """The whole body of an answer that is long, slow or compressed.

    Raises:
        OutcomeUnknown: over `limit` bytes, or compressed and damaged.
    """
    length = headers.get("Content-Length", "")
    if length.isdecimal() and int(length) > limit:
        raise OutcomeUnknown(f"answer over {limit} bytes; it may have arrived")
    parts = [first]
    size = len(first)
    while size <= limit and (part := await content.readany()):
        parts.append(part)
        size += len(part)
    if size > limit:
        raise OutcomeUnknown(f"answer over {limit} bytes; it may have arrived")
    return inflate(b"".join(parts), encoding_of(headers), limit)


def inflate(body: bytes, encoding: str, limit: int) -> bytes:
    """A body without the compression that its Content-Encoding names, where it really has it.

    Boxes in between compress although nobody asked, write `UTF-8` or `none` there, or leave the
    word when they take the compression away: then the bytes are what they are, and whoever reads
    them says whether they make sense.

    Raises:
        OutcomeUnknown: compressed and damaged, or over `limit` bytes.
    """
    words = {word.strip().lower() for word in encoding.split(",")}
    if not words & _COMPRESSED or not body:
        return body
    # 32 reads the header of gzip and of zlib; some servers' deflate has none at all.
    for bits in (zlib.MAX_WBITS | 32, -zlib.MAX_WBITS):
        stream = zlib.decompressobj(bits)
        try:
            plain = stream.decompress(body, limit + 1)
        except zlib.error:
            continue
        if len(plain) > limit:
            raise OutcomeUnknown(f"answer over {limit} bytes; it may have arrived")
        # Plain text can begin like a deflate without a header, but hardly end with one.
        if stream.eof and (bits > 0 or not stream.unused_data):
            return plain
    if body.startswith(_GZIP) or not _looks_plain(body):
        raise OutcomeUnknown("answer compressed, and damaged; it may have arrived")
    return body


def encoding_of(headers: Mapping[str, str]) -> str:
    """The value of Content-Encoding, of all its lines where there are several."""
    every = getattr(headers, "getall", None)
    return ", ".join(every(ENCODED, ())) if every else headers.get(ENCODED, "")


def _looks_plain(body: bytes) -> bool:
    """Whether it begins and ends as JSON or a page does: nothing was compressed after all."""
    text = body.strip(b"\xef\xbb\xbf \t\r\n")
    return text[:1] + text[-1:] in (b"{}", b"[]", b"<>")
