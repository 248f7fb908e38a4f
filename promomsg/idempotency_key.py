"""The key by which a provider knows a message again: the same for each attempt at one recipient."""

from __future__ import annotations

from hashlib import blake2b

__all__ = ["derive_idempotency_key"]


def derive_idempotency_key(run_id: str, key: str, generation: int, *, person: bytes) -> str:
    """The idempotency key of one recipient in one run: 48 hex digits, always the same.

    Other runs, recipients, generations and persons get others. The first three are told apart by
    NULs that run and key cannot hold, so no two triples read the same.

    Args:
        run_id: the campaign's.
        key: the recipient's.
        generation: how often the user's word has reopened a failure of theirs.
        person: for what the key is; at most 16 bytes.
    """
    material = f"{generation}\0{run_id}\0{key}".encode("utf-8", "surrogatepass")
    return blake2b(material, digest_size=24, person=person).hexdigest()
