"""The promoters that the sandbox knows: getpromoter, getrole, and the members of an audience."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from promomsg.sandbox.calls_and_replies import WeChatRefusedError
from promomsg.sandbox.sandbox_settings import SandboxPromoter, SandboxSettings
from promomsg.sandbox.wechat_requests import missing, text, uint

__all__ = ["FILTERS", "KnownPromoters", "numbered_promoters"]

FILTERS: Final = frozenset(
    {
        "openid",
        "role_id",
        "retail_id",
        "begin_time",
        "end_time",
        "start_id",
        "need_unionid",
        "auth_status",
        "decl_status",
    }
)
_AUTHORISED: Final = 1


def numbered_promoters(count: int) -> list[SandboxPromoter]:
    """So many authorised promoters, the same ones every time: ids from 100001, three roles,
    retailers r1 to r4, one update a minute."""
    return [
        SandboxPromoter(
            id=str(100_000 + n),
            openid=f"oSBX{n:024d}",
            unionid=f"uSBX{n:024d}",
            role_id=n % 3 + 1,
            retail_id=f"r{n % 4 + 1}",
            update_time=1_668_614_400 + n * 60,
            name=f"推广员{n}",
            phone=f"138{n:08d}",
        )
        for n in range(1, count + 1)
    ]


class KnownPromoters:
    """The promoters of one sandbox, looked up lazily so that the settings may change."""

    def __init__(self) -> None:
        self._source: int | Sequence[SandboxPromoter] | None = None
        self._promoters: Sequence[SandboxPromoter] = ()
        self._known: frozenset[str] = frozenset()

    def promoters(self, settings: SandboxSettings) -> Sequence[SandboxPromoter]:
        """All of them, in getpromoter's order."""
        source = settings.promoters
        if self._source is None or source is not self._source:
            self._source = source
            self._promoters = (
                numbered_promoters(source) if isinstance(source, int) else tuple(source)
            )
            names = ((p.id, p.openid, p.unionid) for p in self._promoters)
            self._known = frozenset(name for triple in names for name in triple if name)
        return self._promoters

    def knows(self, address: str, settings: SandboxSettings) -> bool:
        """Whether somebody has this id, openid or unionid."""
        self.promoters(settings)
        return address in self._known

    def audience(
        self, list_type: int, names: Sequence[Any], settings: SandboxSettings
    ) -> tuple[str, ...]:
        """The ids that a group send reaches, each once."""
        if list_type == 3:
            return tuple(dict.fromkeys(names))
        wanted = frozenset(names)
        return tuple(
            p.id
            for p in self.promoters(settings)
            if p.auth_status == _AUTHORISED
            and (
                list_type == 0
                or (list_type == 1 and p.role_id in wanted)
                or (list_type == 2 and p.retail_id in wanted)
            )
        )

    def page(self, data: Mapping[str, Any], settings: SandboxSettings) -> dict[str, Any]:
        """getpromoter's answer: at most a page, after `start_id` (inferred: the last item's id).

        Raises:
            WeChatRefusedError: 103006 nobody matches, or nobody is left; 103001 a filter of the wrong type.
        """
        openid, retail = text(data, "openid"), text(data, "retail_id")
        role, start = uint(data, "role_id"), text(data, "start_id")
        begin, end = uint(data, "begin_time"), uint(data, "end_time")
        auth, decl = uint(data, "auth_status"), uint(data, "decl_status")
        with_unionid = bool(uint(data, "need_unionid"))
        found = [
            p
            for p in self.promoters(settings)
            if (openid is None or openid in (p.openid, p.unionid))
            and (role is None or p.role_id == role)
            and (retail is None or p.retail_id == retail)
            and (begin is None or p.update_time >= begin)
            and (end is None or p.update_time <= end)
            and (auth is None or p.auth_status == auth)
            and (decl is None or p.decl_status == decl)
        ]
        total, first = len(found), 0
        if start is not None:
            first = next((n for n, p in enumerate(found, 1) if p.id == start), -1)
            if first < 0:
                raise missing("start_id")
        listed = found[first : first + settings.page_size]
        if not listed:
            raise WeChatRefusedError(103006, "empty list")
        return {
            "promoter_list": [_row(p, with_unionid) for p in listed],
            "total_cnt": total,
            "errcode": 0,
            "errmsg": "OK",
        }

    def roles(self, settings: SandboxSettings) -> dict[str, Any]:
        """getrole's answer."""
        if not settings.roles:
            raise WeChatRefusedError(103006, "empty list")
        rows = [{"role_id": k, "name": v, "desc": v} for k, v in sorted(settings.roles.items())]
        return {"role_list": rows, "total_cnt": len(rows), "errcode": 0, "errmsg": "OK"}


def _row(person: SandboxPromoter, with_unionid: bool) -> dict[str, Any]:
    row: dict[str, Any] = {
        "openid": person.openid,
        "role_id": person.role_id,
        "retail_id": person.retail_id,
        "extra_info": person.extra_info,
        "auth_status": person.auth_status,
        "decl_status": person.decl_status,
        "update_time": person.update_time,
        "id": person.id,
        "name": person.name,
        "phone": person.phone,
    }
    if with_unionid:
        row["unionid"] = person.unionid
    return row
