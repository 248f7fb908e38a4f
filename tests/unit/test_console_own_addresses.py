"""Under which names the console answers."""

from __future__ import annotations

from pathlib import Path

import pytest
from raw_server import certificate

from promomsg.console.own_addresses import OwnAddresses, names_of_certificate, public_origin
from promomsg.errors import UsageError

LOCAL = OwnAddresses("http", "127.0.0.1", 8765)


@pytest.mark.parametrize(
    ("header", "origin"),
    [
        ("127.0.0.1:8765", "http://127.0.0.1:8765"),
        ("localhost:8765", "http://localhost:8765"),
        ("LOCALHOST:8765", "http://localhost:8765"),
        ("[::1]:8765", "http://[::1]:8765"),
    ],
)
def test_loopback_is_called_by_its_names_and_its_port(header: str, origin: str) -> None:
    assert LOCAL.origin_of(header, "127.0.0.1") == origin


@pytest.mark.parametrize(
    "header",
    [
        "", "127.0.0.1", "127.0.0.1:8766", "localhost", "evil.test:8765", "evil.test", "localhost.evil.test:8765",
        "127.0.0.1.evil.test:8765", "127.0.0.1:8765.evil.test", "evil.localhost:8765", "127.0.0.2:8765",
        "0.0.0.0:8765", "[::1]", "[::1", "::1:8765", "127.1:8765", "2130706433:8765", "127.0.0.1:08765x",
        "127.0.0.1:٨٧٦٥", "user@127.0.0.1:8765", "127.0.0.1:8765/", "127.0.0.1:", ":8765",
    ],
)  # fmt: skip
def test_any_other_name_is_none_of_ours(header: str) -> None:
    assert LOCAL.origin_of(header, "127.0.0.1") == ""


def test_a_console_on_a_network_answers_to_its_certificate_and_the_address_that_was_reached() -> (
    None
):
    names = ["console.example.com", "*.promo.example.com", "10.0.0.5"]
    found = OwnAddresses("https", "0.0.0.0", 8443, names=names)
    for name in ("console.example.com", "a.promo.example.com", "10.0.0.5", "10.0.0.6"):
        assert found.origin_of(f"{name}:8443", "10.0.0.6") == f"https://{name}:8443"
    for name in (
        "evil.test",
        "a.b.promo.example.com",
        ".promo.example.com",
        "10.0.0.7",
        "localhost",
    ):
        assert found.origin_of(f"{name}:8443", "10.0.0.6") == ""
    assert found.origin_of("localhost:8443", "127.0.0.1") == "https://localhost:8443"
    usual = OwnAddresses("https", "0.0.0.0", 443, names=names)
    assert usual.origin_of("console.example.com", "10.0.0.6") == "https://console.example.com"
    assert usual.origin_of("console.example.com:443", "10.0.0.6") == "https://console.example.com"


def test_behind_a_proxy_it_answers_to_the_proxys_name() -> None:
    public = public_origin("https://Console.example.com/")
    assert public == "https://console.example.com"
    found = OwnAddresses("http", "127.0.0.1", 8765, public=public)
    assert found.origin_of("console.example.com", "127.0.0.1") == public
    assert found.origin_of("console.example.com:443", "127.0.0.1") == public
    assert found.origin_of("console.example.com:8765", "127.0.0.1") == ""
    assert found.origin_of("localhost:8765", "127.0.0.1") == "http://localhost:8765"
    other = OwnAddresses("http", "10.0.0.5", 8765, public="https://console.example.com:8443")
    assert other.origin_of("console.example.com:8443", "10.0.0.5").endswith(":8443")
    assert other.origin_of("10.0.0.5:8765", "10.0.0.5") == ""  # past the proxy, in the clear


@pytest.mark.parametrize(
    "url",
    ["http://console.example.com", "console.example.com", "https://console.example.com/path", "https://", "x",
     "https://user@console.example.com", "https://console.example.com?x=1"],
)  # fmt: skip
def test_a_public_url_is_a_host_alone(url: str) -> None:
    with pytest.raises(UsageError, match="without a path"):
        public_origin(url)


def test_names_are_those_of_the_certificate(tmp_path: Path) -> None:
    _, path = certificate(tmp_path)
    assert names_of_certificate(path) == ["127.0.0.1"]
    path.write_text("nothing")
    with pytest.raises(UsageError, match="no certificate"):
        names_of_certificate(path)
    with pytest.raises(UsageError, match="cannot be read"):
        names_of_certificate(tmp_path / "none.pem")
