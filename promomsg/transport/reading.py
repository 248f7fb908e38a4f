"""An answer's body: all of it, plain, and never more than it may be."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from typing import Final

import aiohttp
from multidict import istr

from promomsg.errors import OutcomeUnknown

__all__ = ["ENCODED", "inflate", "rest"]

ENCODED: Final = istr("Content-Encoding")


async def rest(
    headers: Mapping[str, str], content: aiohttp.StreamReader, first: bytes, limit: int
) -> bytes:
    """The whole body of an answer that is long, slow or compressed.

    Raises:
        OutcomeUnknown: over `limit` bytes, or compressed in a way that nobody asked for.
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
    return inflate(b"".join(parts), headers.get(ENCODED, ""), limit)


def inflate(body: bytes, encoding: str, limit: int) -> bytes:
    """A body without its Content-Encoding, which some gateways add although nobody asked.

    Raises:
        OutcomeUnknown: another encoding than gzip or deflate, damaged, or over `limit` bytes.
    """
    name = encoding.strip().lower()
    if name in ("", "identity"):
        return body
    if name not in ("gzip", "x-gzip", "deflate"):
        raise OutcomeUnknown("answer in an encoding that was not asked for; it may have arrived")
    # 32 reads the header of gzip and of zlib; some servers' deflate has none at all.
    for bits in (zlib.MAX_WBITS | 32, -zlib.MAX_WBITS):
        stream = zlib.decompressobj(bits)
        try:
            plain = stream.decompress(body, limit + 1)
        except zlib.error:
            continue
        if len(plain) > limit:
            raise OutcomeUnknown(f"answer over {limit} bytes; it may have arrived")
        if stream.eof:
            return plain
    raise OutcomeUnknown("answer compressed, and damaged; it may have arrived")
