"""How a campaign file is read for a channel: what its class says of `[NAME]` and `[message]`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar, ParamSpec, Protocol, TypeVar

from promomsg.answers import CodeMeaning
from promomsg.model import Secret

__all__ = ["FromCampaignFile", "Section"]

P = ParamSpec("P")
T = TypeVar("T")


class Section(Protocol):
    """One table of a campaign file. Each method raises `UsageError` with the file, the table, the key
    and how to mend it; no value of a secret is ever in it.

    A key that nobody has asked for is not known: once the table is read, it is refused, and the nearest
    one that was asked for is suggested.
    """

    @property
    def table(self) -> Mapping[str, Any]:
        """The table as it was parsed: for what has no method here."""
        ...

    def __contains__(self, key: str) -> bool: ...

    def where(self, key: str) -> str:
        """`autumn.toml: [message] path`: what a message of your own begins with."""
        ...

    def required(self, key: str, example: str) -> str:
        """Text that must be there; `example` is how it would be written, with its quotes."""
        ...

    def text(self, key: str, default: str = "") -> str:
        """Text that is not blank, or the default."""
        ...

    def choice(self, key: str, among: tuple[str, ...], default: str | None = None) -> str | None:
        """One of a few words."""
        ...

    def flag(self, key: str, default: bool) -> bool:
        """True or false."""
        ...

    def whole(self, key: str, least: int, most: int | None = None) -> int | None:
        """A whole number in its bounds; None when it is not there."""
        ...

    def duration(self, key: str, default: float) -> float:
        """Seconds, from a number or text such as `"2h"`."""
        ...

    def strings_of(self, key: str) -> dict[str, str]:
        """A table of texts within this one, which must be there and not be empty."""
        ...

    def path_of(self, key: str) -> Path | None:
        """A path, relative to the campaign file's folder; None when it is not there."""
        ...

    def secret_of(self, key: str) -> Secret:
        """A secret by reference, `"env:NAME"` or `"file:PATH"`; it must be there."""
        ...

    def build(self, make: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Calls a constructor; a UsageError of its own gets the file and the table before it."""
        ...


class FromCampaignFile(Protocol):
    """What the class of a channel says of campaign files with `channel = "NAME"`.

    The class is then called as `Class(**read_account(section), base_url=…, pace=…, timeout=…, proxy=…)`:
    these four are read for every channel, and their keys (`base_url`, `proxy`, `timeout`) are no concern
    of `read_account`.
    """

    message_type: ClassVar[type[Any]]
    """The class of the messages that it sends."""
    addresses: ClassVar[tuple[str, ...]]
    """Which of a row's `id`, `openid` and `unionid` it can send to; one of them has to be there."""
    account_keys: ClassVar[tuple[str, ...]]
    """The keys of `[NAME]` that say whose account it is; `Channel.account` is their values, joined by
    slashes. A worker looks its accounts up by them."""
    default_base_url: ClassVar[str]
    """Where calls go when the file says nothing; empty: `base_url` must be there."""
    codes: ClassVar[Mapping[str, CodeMeaning]]
    """What the provider's codes mean, for `promomsg explain` and reports."""

    @classmethod
    def read_account(cls, section: Section) -> dict[str, Any]:
        """The arguments of the class that `[NAME]` gives.

        Raises:
            UsageError: a key is missing, unknown or wrong, or a secret is not there.
        """
        ...

    @classmethod
    def read_message(cls, section: Section) -> Any:
        """The message that `[message]` gives.

        Raises:
            UsageError: a key is missing, unknown or wrong.
        """
        ...
