"""The fault plan: which call goes wrong, and how. Seeded, so that a run can be repeated.

A plan is a TOML file (`promomsg sandbox --faults FILE`) or made in Python from `Fault`s:

    [[fault]]
    endpoint = "singlesendmsg"         # a name, a pattern ("alipay.*"), or "*"
    kind = "drop_after_delivering"
    calls = [3, 7]                     # the 3rd and 7th call that the rule sees; or
    # every = 10                       # the 10th, 20th, …; or
    # probability = 0.1                # decided by seed, endpoint and number of the call
    # after = 100                      # optional: not among the first 100 calls
    # limit = 5                        # optional: at most 5 times

    [settings]                         # optional: fields of SandboxSettings
    token_life = 60

What a rule says, which endpoints there are, and what each kind does: `Fault`.
"""

from __future__ import annotations

import hashlib
import os
import tomllib
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, fields
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Final

from promomsg.errors import UsageError
from promomsg.suggest import did_you_mean

__all__ = ["ENDPOINTS", "KINDS", "Fault", "FaultPlan", "Injection"]

ENDPOINTS: Final = (
    "sendmsg",
    "singlesendmsg",
    "subscribe_send",
    "getmsg",
    "getmsgclickdata",
    "getpromoter",
    "getrole",
    "stable_token",
    "token",
    "quota_get",
    "clear_quota",
    "failure_file",
    "alipay.send",
    "alipay.apply_token",
    "other",
    "connect",
)

KINDS: Final = (
    "refuse",
    "reset_before_reading",
    "drop_after_delivering",
    "delay",
    "slow",
    "hang",
    "truncate",
    "html",
    "status",
    "minus_one",
    "token_invalid",
    "throttle",
    "daily",
    "errcode",
    "result",
    "garbage",
    "huge",
    "endless",
    "redirect",
    "alter",
    "unsigned",
    "bad_signature",
)
_ALWAYS_DELIVERED: Final = frozenset(
    {"drop_after_delivering", "delay", "slow", "truncate", "alter", "unsigned", "bad_signature"}
)
_NEVER_DELIVERED: Final = frozenset({"refuse", "reset_before_reading"})


@dataclass(frozen=True, kw_only=True)
class Fault:
    """One rule of a plan: which calls go wrong, and how.

    A rule with none of `calls`, `every` and `probability` takes every call. The first rule that
    applies wins; every rule counts all calls of its endpoints.

    Endpoints: `sendmsg`, `singlesendmsg`, `subscribe_send`, `getmsg`, `getmsgclickdata`, `getpromoter`,
    `getrole`, `token` (both token calls; `stable_token` for one alone), `quota_get`, `clear_quota`,
    `failure_file`, `alipay.send`, `alipay.apply_token`, `other`, and `connect` (an accepted connection,
    before any request: `refuse` only).

    Kinds, and whether the call is delivered (is processed as if nothing happened, ledger included):

    | kind | delivered | what the client sees |
    | --- | --- | --- |
    | `refuse` | no | the connection is closed before the body is read; on `connect`, before anything is. The kernel's own refusal is `Sandbox.stop_listening()` |
    | `reset_before_reading` | no | the connection is reset (RST) before the body is read |
    | `drop_after_delivering` | yes | the connection is reset, or closed when `reset = false`, with no answer |
    | `delay` | after `seconds` | the normal answer, late |
    | `slow` | at once | the normal answer after `seconds` |
    | `hang` | `delivered` | no answer until one side closes |
    | `truncate` | yes | half the body under the full Content-Length, then the connection closes |
    | `html` | `delivered` | 200 and an HTML page |
    | `status` | `delivered` | `status` (default 502) and `body` |
    | `minus_one` | `delivered` | errcode −1; UNKNOWN_EXCEPTION |
    | `token_invalid` | `delivered` | 40001; INVALID_ACCESS_TOKEN |
    | `throttle` | `delivered` | 45011; REQUEST_TRAFFIC_EXCEED_LIMIT |
    | `daily` | `delivered` | 45009; MESSAGE_SEND_EXCEED_LIMIT |
    | `errcode` | `delivered` | `errcode`, with `errmsg` |
    | `result` | `delivered` | `result` as resultCode, `result_status` (S, F, U) as its status |
    | `garbage` | `delivered` | `body` verbatim, or a gzip bomb that unpacks to `gzip_megabytes` |
    | `huge` | `delivered` | a body of `megabytes` |
    | `endless` | `delivered` | a body that never ends |
    | `redirect` | `delivered` | 302 to `location` |
    | `alter` | yes | the normal answer with `set` put in and `unset` taken out |
    | `unsigned`, `bad_signature` | yes | a wallet's normal answer without, or with a wrong, signature |

    `delivered` is false unless the rule says true.

    Attributes:
        endpoint: a name, a pattern (`"alipay.*"`), or `"*"`.
        kind: one of those above; may be left out when `errcode` or `result` is given.
        calls: the numbers of these calls, from 1.
        every: the 10th, 20th, … for 10.
        probability: 0 to 1, decided by the plan's seed, the endpoint and the number of the call.
        after: the first so many calls go unharmed.
        limit: at most so many times.
        seconds: of `delay` and `slow`.
        delivered: whether the call is processed all the same.
        reset, status, body, location, set, unset: of the kinds that name them above.
        errcode, errmsg, result, result_status, megabytes, gzip_megabytes: the same.
        content_type: of `status` (None: `text/html`) and `garbage` (`text/plain`).

    Raises:
        UsageError: a value that no rule can have.
    """

    endpoint: str = "*"
    kind: str = ""
    calls: Collection[int] = ()
    every: int | None = None
    probability: float | None = None
    after: int = 0
    limit: int | None = None
    seconds: float = 1.0
    delivered: bool = False
    reset: bool = True
    status: int = 502
    body: str = ""
    content_type: str | None = None
    errcode: int | None = None
    errmsg: str | None = None
    result: str | None = None
    result_status: str | None = None
    megabytes: int = 100
    gzip_megabytes: int | None = None
    location: str = ""
    set: Mapping[str, Any] = field(default_factory=dict)
    unset: Sequence[str] = ()

    def __post_init__(self) -> None:
        if not self.kind:
            implied = "errcode" if self.errcode is not None else "result" if self.result else ""
            object.__setattr__(self, "kind", implied)
        if self.kind not in KINDS:
            raise UsageError(f"kind is {self.kind!r}{_near(self.kind, KINDS)}")
        if not _selects_some(self.endpoint):
            raise UsageError(f"endpoint is {self.endpoint!r}{_near(self.endpoint, ENDPOINTS)}")
        if self.endpoint == "connect" and self.kind != "refuse":
            raise UsageError(f"a connection can only be refused, not {self.kind!r}")
        if sum((bool(self.calls), self.every is not None, self.probability is not None)) > 1:
            raise UsageError("calls, every and probability exclude each other; keep one")
        if self.every is not None and self.every < 1:
            raise UsageError(f"every is {self.every}; it is at least 1")
        if self.probability is not None and not 0 <= self.probability <= 1:
            raise UsageError(f"probability is {self.probability}; it is between 0 and 1")
        if self.kind == "errcode" and self.errcode is None:
            raise UsageError("kind 'errcode' needs errcode = N")
        if self.kind == "result" and not self.result:
            raise UsageError("kind 'result' needs result = \"CODE\"")
        if self.kind == "redirect" and not self.location:
            raise UsageError("kind 'redirect' needs location = \"URL\"")
        if self.delivered and self.kind in _NEVER_DELIVERED:
            raise UsageError(f"{self.kind!r} is never delivered; remove delivered = true")
        if self.kind in _ALWAYS_DELIVERED:
            object.__setattr__(self, "delivered", True)

    @classmethod
    def from_table(cls, table: Mapping[str, Any]) -> Fault:
        """A rule from a TOML table.

        Raises:
            UsageError: an unknown key (the nearest one is named), or a value that cannot be.
        """
        known = {f.name: f.type for f in fields(cls)}
        for key, value in table.items():
            if key not in known:
                raise UsageError(f"unknown key {key!r}{_near(key, tuple(known))}")
            if not _fits(value, str(known[key])):
                raise UsageError(f"{key} is {value!r}; it is {known[key]}")
        return cls(**table)


@dataclass(frozen=True)
class Injection:
    """One fault that is to happen now."""

    fault: Fault
    endpoint: str
    call: int


class _Rule:
    def __init__(self, fault: Fault, number: int) -> None:
        self.fault = fault
        self.number = number
        self.seen = 0
        self.done = 0
        self.calls = frozenset(fault.calls)

    def fires(self, seed: int, endpoint: str, call: int) -> bool:
        fault = self.fault
        if self.seen <= fault.after or (fault.limit is not None and self.done >= fault.limit):
            return False
        if self.calls:
            return self.seen in self.calls
        if fault.every is not None:
            return self.seen % fault.every == 0
        if fault.probability is not None:
            return _chance(seed, self.number, endpoint, call) < fault.probability
        return True


class FaultPlan:
    """Rules in order, and the count of the calls they have seen.

    Args:
        faults: the rules.
        seed: of the probabilities; None takes the sandbox's.
        settings: the `[settings]` table of the file, for `SandboxSettings.updated`.
    """

    def __init__(
        self,
        faults: Sequence[Fault] = (),
        *,
        seed: int | None = None,
        settings: Mapping[str, Any] | None = None,
    ) -> None:
        self.faults = tuple(faults)
        self.seed = seed
        self.settings: Mapping[str, Any] = settings or {}
        self.where = "fault plan"
        self._rules = [_Rule(fault, number) for number, fault in enumerate(self.faults)]
        self._by_endpoint: dict[str, list[_Rule]] = {}
        self._calls: Counter[str] = Counter()

    @classmethod
    def parse(cls, text: str, where: str = "fault plan") -> FaultPlan:
        """A plan from TOML text; `where` is the file's name for error messages.

        Raises:
            UsageError: not TOML, an unknown key, or a rule that cannot be.
        """
        try:
            table = tomllib.loads(text)
        except tomllib.TOMLDecodeError as exc:
            raise UsageError(f"{where}: not TOML: {exc}") from None
        for key in table:
            if key not in ("fault", "settings", "seed"):
                known = ("fault", "settings", "seed")
                raise UsageError(f"{where}: unknown key {key!r}{_near(key, known)}")
        rules = table.get("fault", [])
        settings, seed = table.get("settings", {}), table.get("seed")
        if not isinstance(rules, list) or not all(isinstance(r, dict) for r in rules):
            raise UsageError(f"{where}: write each rule under its own [[fault]]")
        if not isinstance(settings, dict) or not (seed is None or isinstance(seed, int)):
            raise UsageError(f"{where}: settings is a table, seed a whole number")
        faults = []
        for number, rule in enumerate(rules, 1):
            try:
                faults.append(Fault.from_table(rule))
            except UsageError as exc:
                raise UsageError(f"{where}: fault {number}: {exc}") from None
        plan = cls(faults, settings=settings, seed=seed)
        plan.where = where
        return plan

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> FaultPlan:
        """A plan from a TOML file.

        Raises:
            UsageError: the file cannot be read, or `parse` refuses it.
        """
        try:
            text = Path(path).read_text(encoding="utf-8")
        except OSError as exc:
            raise UsageError(f"fault plan {path}: cannot be read ({exc.strerror})") from None
        except UnicodeDecodeError:
            raise UsageError(f"fault plan {path}: not UTF-8; save it as UTF-8") from None
        return cls.parse(text, str(path))

    def next(self, endpoint: str, seed: int = 0) -> Injection | None:
        """Counts one call, and says what is to go wrong with it."""
        rules = self._by_endpoint.get(endpoint)
        if rules is None:
            rules = [r for r in self._rules if _matches(r.fault.endpoint, endpoint)]
            self._by_endpoint[endpoint] = rules
        if not rules:
            return None
        self._calls[endpoint] += 1
        call = self._calls[endpoint]
        if self.seed is not None:
            seed = self.seed
        chosen = None
        for rule in rules:
            rule.seen += 1
            if chosen is None and rule.fires(seed, endpoint, call):
                rule.done += 1
                chosen = Injection(rule.fault, endpoint, call)
        return chosen


def _matches(pattern: str, endpoint: str) -> bool:
    if endpoint == "connect":
        return pattern == "connect"
    if pattern == "token":
        return endpoint in ("token", "stable_token")
    return fnmatchcase(endpoint, pattern)


def _selects_some(pattern: str) -> bool:
    return any(_matches(pattern, endpoint) for endpoint in ENDPOINTS)


def _chance(seed: int, rule: int, endpoint: str, call: int) -> float:
    """A number in [0, 1) that is always the same for the same call."""
    key = f"{seed}/{rule}/{endpoint}/{call}".encode()
    return float(int.from_bytes(hashlib.blake2b(key, digest_size=7).digest(), "big")) / 2**56


def _near(given: str, known: Sequence[str]) -> str:
    return did_you_mean(given, known) or f"; it is one of {', '.join(known)}"


def _fits(value: Any, annotation: str) -> bool:
    """Whether a TOML value can be this field's (annotations are strings here)."""
    if isinstance(value, bool):
        return annotation == "bool"
    if isinstance(value, int):
        return "int" in annotation.split("[")[0] or "float" in annotation
    if isinstance(value, float):
        return "float" in annotation
    if isinstance(value, str):
        return annotation.startswith("str")
    if isinstance(value, list):
        inner = int if "int" in annotation else str
        listed = annotation.startswith(("Collection", "Sequence"))
        return listed and all(type(v) is inner for v in value)
    return annotation.startswith("Mapping")
