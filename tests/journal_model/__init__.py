"""The plain statement of what a journal does, in Python's own lists and dicts: the oracle of the
agreement property, and the journal of engine tests whose clock must not wait for a thread.

It shares no code with the SQLite one but the vocabulary, so that each is a check on the other.
"""

from __future__ import annotations

from journal_model.journal import ModelHandle, ModelJournal, ModelReader

__all__ = ["ModelHandle", "ModelJournal", "ModelReader"]
