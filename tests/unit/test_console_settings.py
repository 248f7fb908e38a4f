"""How a console may be started, and how it may not."""

from __future__ import annotations

from pathlib import Path

import pytest
from raw_server import certificate

from promomsg.console import console_settings
from promomsg.console.console_settings import ConsoleSettings
from promomsg.errors import UsageError
from promomsg.model import Secret

TOKEN = Secret("t" * 32)


def test_loopback_needs_nothing_and_is_for_its_own_user(tmp_path: Path) -> None:
    for host in ("127.0.0.1", "localhost", "::1"):
        settings = ConsoleSettings(folders=(tmp_path,), host=host)
        settings.check()
        assert settings.is_local
    settings = ConsoleSettings(operator_token=TOKEN)
    settings.check()
    assert not settings.same_user  # the token decides


@pytest.mark.parametrize(
    ("settings", "refusal"),
    [
        (ConsoleSettings(host="0.0.0.0"), "everybody who gets there could read and act"),
        (ConsoleSettings(host="10.0.0.5", read_only=True), "--host 10.0.0.5: everybody"),
        (ConsoleSettings(host="::"), "everybody"),
        (ConsoleSettings(public_url="https://c.example.com"), "--public-url: everybody"),
        (ConsoleSettings(host="0.0.0.0", reader_token=TOKEN), "has to be encrypted"),
        (ConsoleSettings(public_url="http://c.example.com", reader_token=TOKEN), "give the https://"),
        (ConsoleSettings(reader_token=TOKEN, operator_token=TOKEN), "are the same"),
        (ConsoleSettings(tls_key=Path("key.pem")), "the certificate is missing"),
        (ConsoleSettings(folders=(Path("nowhere"),)), "nowhere: there is no such folder"),
    ],
)  # fmt: skip
def test_what_would_let_strangers_in_is_refused(settings: ConsoleSettings, refusal: str) -> None:
    with pytest.raises(UsageError, match=refusal):
        settings.check()


def test_a_network_needs_a_token_and_tls_or_a_proxy(tmp_path: Path) -> None:
    _, path = certificate(tmp_path)
    ConsoleSettings(host="0.0.0.0", reader_token=TOKEN, tls_certificate=path).check()
    ConsoleSettings(
        host="10.0.0.5", operator_token=TOKEN, public_url="https://c.example.com"
    ).check()


def test_a_system_that_cannot_tell_users_apart_needs_a_token(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(console_settings, "can_be_asked", lambda: False)
    monkeypatch.setattr(console_settings.sys, "platform", "linux")
    with pytest.raises(UsageError, match="other users of this machine"):
        ConsoleSettings().check()
    ConsoleSettings(operator_token=TOKEN).check()


def test_a_certificate_that_cannot_be_used_is_said_so(tmp_path: Path) -> None:
    _, path = certificate(tmp_path)
    key = tmp_path / "key.pem"
    assert ConsoleSettings(tls_certificate=path, tls_key=key).tls() is not None
    both = tmp_path / "both.pem"
    both.write_bytes(path.read_bytes() + key.read_bytes())
    assert ConsoleSettings(tls_certificate=both).tls() is not None
    assert ConsoleSettings().tls() is None
    for cert, secret in ((path, None), (path, tmp_path / "none"), (key, key)):
        with pytest.raises(UsageError, match="cannot be used for TLS"):
            ConsoleSettings(tls_certificate=cert, tls_key=secret).tls()
