"""What the responder proves itself with: a TLS certificate for 127.0.0.1, and a wallet's key."""

from __future__ import annotations

import datetime
import ipaddress
from base64 import b64encode
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.x509.oid import NameOID

__all__ = [
    "CERTIFICATE",
    "PRIVATE_KEY",
    "WALLET_CLIENT",
    "new_rsa_key",
    "private_pem",
    "public_pem",
    "signed_answer",
    "write_certificate",
]

CERTIFICATE: Final = "certificate.pem"
PRIVATE_KEY: Final = "certificate-key.pem"
WALLET_CLIENT: Final = "BENCHMARK_CLIENT"
"""The Client-Id that the wallet's answers are signed for."""

_DAY: Final = datetime.timedelta(days=1)


def private_pem(key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey) -> bytes:
    """PKCS#8 PEM, not encrypted."""
    plain = serialization.NoEncryption()
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain)


def public_pem(key: rsa.RSAPrivateKey) -> bytes:
    """Its public half, PEM."""
    return key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )


def write_certificate(folder: Path) -> None:
    """Writes `CERTIFICATE`, self-signed and good for a day, and `PRIVATE_KEY` there."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.datetime.now(datetime.UTC)
    address = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - _DAY)
        .not_valid_after(now + _DAY)
        .add_extension(x509.SubjectAlternativeName([address]), critical=False)
        .sign(key, hashes.SHA256())
    )
    (folder / CERTIFICATE).write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    (folder / PRIVATE_KEY).write_bytes(private_pem(key))


def new_rsa_key() -> rsa.RSAPrivateKey:
    """RSA-2048, as wallets have it."""
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def signed_answer(wallet: rsa.RSAPrivateKey, path: str) -> bytes:
    """A wallet's success for a call of `path`, the whole HTTP answer, signed once for all calls.

    The client verifies it each time all the same (docs/facts/alipay.md, "Calling convention").
    """
    body = b'{"result":{"resultCode":"SUCCESS","resultStatus":"S","resultMessage":"success"}}'
    at = "2026-01-01T00:00:00Z"
    content = f"POST {path}\n{WALLET_CLIENT}.{at}.".encode() + body
    raw = wallet.sign(content, padding.PKCS1v15(), hashes.SHA256())
    plain = b64encode(raw).decode()
    signature = plain.replace("+", "%2B").replace("/", "%2F").replace("=", "%3D")
    head = (
        "HTTP/1.1 200 OK\r\nContent-Type: application/json; charset=UTF-8\r\n"
        f"Client-Id: {WALLET_CLIENT}\r\nResponse-Time: {at}\r\n"
        f"Signature: algorithm=RSA256, keyVersion=1, signature={signature}\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body
