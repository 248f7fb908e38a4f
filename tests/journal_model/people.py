"""The model's people: everybody is looked at for each page."""

from __future__ import annotations

import string
from collections.abc import Collection

from journal_model.store import Row, Store
from promomsg.errors import UsageError
from promomsg.idempotency_key import derive_idempotency_key
from promomsg.journal.people.people_contract import (
    EarlierAttempt,
    PeoplePage,
    Person,
    SinglesOfDay,
)
from promomsg.model import State
from promomsg.states import FINAL

__all__ = ["ModelPeople"]

_FOLDED = str.maketrans(string.ascii_uppercase, string.ascii_lowercase)


class ModelPeople:
    """The part of a reader that is about people."""

    _store: Store

    def people(
        self,
        *,
        after: int | None = None,
        before: int | None = None,
        limit: int,
        states: Collection[State] | None = None,
        code: str | None = None,
        search: str | None = None,
    ) -> PeoplePage:
        if limit < 1 or None not in (after, before):
            raise UsageError("limit, after and before do not go together")
        found = [
            (row.seq, self._store.outcome(row))
            for row in self._store.in_order()
            if (states is None or row.state in states)
            and (code is None or row.code == code)
            and _has(row, search or "")
        ]
        if before is not None:
            page = [one for one in found if one[0] < before][-limit:]
            earlier = [one for one in found if one[0] < before][:-limit]
            later = [one for one in found if one[0] >= before]
        else:
            begin = -1 if after is None else after
            page = [one for one in found if one[0] > begin][:limit]
            later = [one for one in found if one[0] > begin][limit:]
            earlier = [one for one in found if one[0] <= begin]
        return PeoplePage(people=tuple(page), has_earlier=bool(earlier), has_later=bool(later))

    def person(self, seq: int) -> Person | None:
        row = self._store.rows.get(seq)
        if row is None:
            return None
        asks_again = self._store.record.channel == "alipay"
        made = derive_idempotency_key(
            self._store.record.run_id, row.key, row.generation, person=b"alipay requestId"
        )
        return Person(
            seq=seq,
            outcome=self._store.outcome(row),
            values=row.values,
            cohort=row.cohort,
            group=None if row.group is None else row.group.copy(),
            request_id=(row.request_id or made) if asks_again else None,
            maybe_sent=row.maybe_sent and row.state not in FINAL,
            history=tuple(
                EarlierAttempt(
                    state=earlier.state,
                    attempts=earlier.attempts,
                    code=earlier.code,
                    detail=earlier.detail,
                    rid=earlier.rid,
                    at=earlier.at,
                    group=earlier.msg_id,
                )
                for earlier in row.history
            ),
        )

    def singles_of(self, day: str) -> SinglesOfDay:
        singles = self._store.days[day] if self._store.day == day else 0
        return SinglesOfDay(day=day, singles=singles, of_account=False)

    def sample_values(self) -> tuple[str, ...] | None:
        samples = [row.values for row in self._store.in_order() if row.values]
        samples += [group.row.values for group in self._store.groups if group.row.values]
        return samples[0] if samples else None


def _has(row: Row, piece: str) -> bool:
    kept = (row.key, row.id, row.openid, row.unionid, row.request_id, row.rid)
    return any(
        piece.translate(_FOLDED) in text.translate(_FOLDED) for text in kept if text is not None
    )
