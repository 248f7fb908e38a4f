"""`wallet`: a wallet's messages beside the RSA signature that each of them needs."""

from __future__ import annotations

import re
import shutil
import subprocess
from functools import partial

from benchmarks.certificates import new_rsa_key, private_pem, public_pem, signed_answer
from benchmarks.child import Sample
from benchmarks.result import Result
from benchmarks.session import Session
from benchmarks.stats import ratios
from benchmarks.suites.rounds import figures, rounds

__all__ = ["run"]

MESSAGES = 10_000
SIGNATURES = 10_000
PATH = "/wallet/v2/miniprogram/message/send"


def run(session: Session) -> Result:
    """Runs it."""
    count = session.options.scaled(MESSAGES)
    signatures = session.options.scaled(SIGNATURES)
    keys = session.new_folder()
    ours, wallet = new_rsa_key(), new_rsa_key()
    (keys / "app.pem").write_bytes(private_pem(ours))
    (keys / "wallet.pem").write_bytes(public_pem(wallet))
    session.responder.ask("wallet", signed_answer(wallet, PATH))
    send = partial(session.measure, "tasks.send_wallet", messages=count, warm_up=200)
    speed: list[float] = []

    def two_cores() -> Sample:
        speed.append(_two_cores(session, keys_folder, signatures))
        return send(keys=keys_folder, signed=1, pinned=False)

    keys_folder = str(keys)
    runs = {
        "one RSA signature": lambda: session.measure(
            "tasks.sign_in_loop", messages=signatures, keys=keys_folder
        ),
        "wallet": lambda: send(keys=keys_folder, signed=1),
        "wallet on all cores": two_cores,
        "wallet without signing": lambda: send(keys=keys_folder, signed=0),
        "WeChat, tokens and a personal text": lambda: session.measure(
            "contenders.promomsg_engine",
            messages=count,
            warm_up=200,
            journal="power",
            personal=True,
        ),
    }
    taken = rounds(session, "wallet", runs)
    _show(session, taken, speed, result := Result("wallet"), count, signatures)
    return result


def _show(
    session: Session,
    taken: dict[str, list[Sample]],
    speed: list[float],
    result: Result,
    count: int,
    signatures: int,
) -> None:
    rows, costs, rates = {}, {}, {}
    for name, samples in taken.items():
        bare = name == "one RSA signature"
        part, number = ("signing", signatures) if bare else ("sending", count)
        costs[name] = [sample.parts[part].cpu / number * 1e6 for sample in samples]
        rates[name] = [number / sample.parts[part].wall for sample in samples]
        rows[f"{name}: CPU", "µs"] = costs[name]
        rows[f"{name}: in a second", "a second"] = rates[name]
    one = "one RSA signature"
    verified = [sample.parts["verifying"].cpu / signatures * 1e6 for sample in taken[one]]
    rows["one verification: CPU", "µs"] = verified
    rows["signatures of two processes", "a second"] = speed
    result.tables.append(figures(f"{count:,} messages, plan to last result, SQLite power", rows))
    result.samples = {f"{what}: {unit}": values for (what, unit), values in rows.items()}
    full = session.options.scale >= 1
    result.judge("wallet-cpu", ratios(costs["wallet"], costs[one]), full=full)
    result.judge("wallet-rate", ratios(rates["wallet"], rates[one]), full=full)
    result.compare(
        "the same, not pinned: the threads that sign use what the server leaves of its core",
        ratios(rates["wallet on all cores"], rates[one]),
    )
    result.judge("wallet-cores", ratios(rates["wallet on all cores"], speed), full=full)
    rest, wechat = costs["wallet without signing"], costs["WeChat, tokens and a personal text"]
    result.judge("wallet-rest", ratios(rest, wechat), full=full)
    least = [sum(parts) for parts in zip(costs[one], verified, wechat, strict=True)]
    result.compare(
        "the least for the first: a signature, a verification and a WeChat message ÷ one signature",
        ratios(least, costs[one]),
    )
    if shutil.which("openssl") is None:
        result.notes.append("openssl is not installed: two processes sign with cryptography")
    result.notes.append("outside the clock: imports, planning, and 200 messages to warm up")


def _two_cores(session: Session, keys: str, signatures: int) -> float:
    """RSA-2048 signatures a second of two processes: `openssl speed`, or else cryptography."""
    openssl = shutil.which("openssl")
    if openssl is not None:
        seconds = max(1, round(3 * session.options.scale))
        told = [openssl, "speed", "-seconds", str(seconds), "-multi", "2", "rsa2048"]
        output = subprocess.run(told, capture_output=True, text=True, check=True).stdout
        found = re.search(r"^rsa +2048 bits +\S+s +\S+s +([\d.]+)", output, re.MULTILINE)
        if found:
            return float(found[1])
        session.say("wallet: what openssl says of its speed could not be read")
    job = session.job(session.folder, messages=signatures, keys=keys, pinned=False)
    processes = [session.begin("benchmarks.tasks.sign_in_loop", job) for _ in range(2)]
    samples = [session.sample_of(process) for process in processes]
    return sum(signatures / sample.parts["signing"].wall for sample in samples)
