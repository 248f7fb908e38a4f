"""RSA signatures one after the other, with nothing else, and as many verifications: what a wallet
message cannot do without."""

from __future__ import annotations

from pathlib import Path

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from benchmarks.child import Laps
from benchmarks.job import Job
from benchmarks.machine import read_clocks

_BODY = b"x" * 400


def run(job: Job) -> Laps:
    """Signs, and then verifies, `messages` times."""
    pem = (Path(job.options["keys"]) / "app.pem").read_bytes()
    key = serialization.load_pem_private_key(pem, None)
    assert isinstance(key, rsa.RSAPrivateKey)
    public = key.public_key()
    signature = key.sign(_BODY, padding.PKCS1v15(), hashes.SHA256())
    begin = read_clocks()  # to load and check a key takes as long as 150 signatures
    for _ in range(job.messages):
        key.sign(_BODY, padding.PKCS1v15(), hashes.SHA256())
    signed = read_clocks()
    for _ in range(job.messages):
        public.verify(signature, _BODY, padding.PKCS1v15(), hashes.SHA256())
    return {"signing": signed.since(begin), "verifying": read_clocks().since(signed)}
