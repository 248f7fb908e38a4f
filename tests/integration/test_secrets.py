"""Access tokens, appsecrets, user tokens and private keys are shown nowhere, whatever goes wrong."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import pickle
import stat
import warnings
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, Final

import pytest
from chaos.child_campaign import Job, address
from chaos.fork_server import ForkServer
from chaos.hurried_clock import HurriedClock
from fault_campaigns import (
    APPSECRET,
    client,
    keys,
    members,
    message,
    resumed,
    sent,
    singles,
    wallet_users,
)
from secret_leaks import Leaks
from waiting import real_time

import promomsg
from promomsg import (
    Campaign,
    JournalError,
    PromoError,
    Promoters,
    Recipient,
    RetryPolicy,
    Roles,
    Secret,
    TokenDatabase,
    UserToken,
    WeChatMessage,
    WeChatPromoter,
)
from promomsg.sandbox import Fault, FaultPlan, Sandbox, SandboxSettings

pytestmark = pytest.mark.asyncio

PEM: Final = keys().private_pem.reveal()
USERTOKEN: Final = "usertoken-"
REFRESH: Final = "refreshtoken-0123456789"
ONE: Final = WeChatMessage(1, {"title": "t"}, "p/i")
TO: Final = Recipient(id="200")

FAULTS: Final[list[dict[str, Any]]] = [
    {"kind": "refuse"},
    {"kind": "reset_before_reading"},
    {"kind": "drop_after_delivering"},
    {"kind": "truncate"},
    {"kind": "hang"},
    {"kind": "html"},
    {"kind": "status", "status": 500},
    {"kind": "status", "status": 404},
    {"kind": "redirect", "location": "http://127.0.0.1:9/"},
    {"kind": "garbage", "body": "{"},
    {"kind": "garbage", "gzip_megabytes": 64},
    {"kind": "huge", "megabytes": 40},
    {"kind": "minus_one"},
    {"kind": "throttle"},
    {"kind": "daily"},
    {"kind": "token_invalid"},
    {"kind": "errcode", "errcode": 48001},
    {"kind": "errcode", "errcode": 40125},
]


def _names(fault: dict[str, Any]) -> str:
    return "-".join(str(value)[:20] for value in fault.values())


@pytest.fixture
def leaks() -> Iterator[Leaks]:
    """Listens to every logger at DEBUG, and to warnings."""
    seen = Leaks(
        appsecret=APPSECRET,
        private_key=PEM.splitlines()[3],
        user_token=USERTOKEN,
        refresh_token=REFRESH,
        access_token="SANDBOX_",
    )
    root = logging.getLogger()
    level = root.level
    root.setLevel(logging.DEBUG)
    root.addHandler(seen)
    try:
        yield seen
    finally:
        root.removeHandler(seen)
        root.setLevel(level)
    assert seen.looked_at
    assert not seen.found, "\n".join(dict.fromkeys(seen.found))


@asynccontextmanager
async def watched(leaks: Leaks, *faults: Fault, **settings: Any) -> AsyncIterator[Sandbox]:
    """A sandbox, with asyncio's own debugging as talkative as it gets."""
    loop = asyncio.get_running_loop()
    loop.set_debug(True)
    loop.slow_callback_duration = 0.0
    unhandled: list[dict[str, Any]] = []
    loop.set_exception_handler(lambda _, context: unhandled.append(context))
    try:
        async with Sandbox(faults=FaultPlan(faults), settings=SandboxSettings(**settings)) as box:
            yield box
    finally:
        gc.collect()
        loop.set_exception_handler(None)
        loop.set_debug(False)
        for context in unhandled:
            leaks.text("exception handler", repr(context))


async def expect_error(leaks: Leaks, where: str, call: Callable[[], Awaitable[Any]]) -> None:
    """Whatever the call raises or returns is looked at."""
    try:
        leaks.shown(where, [await call()])
    except BaseException as error:  # noqa: BLE001 - every one of them
        leaks.error(where, error)


def show_report(leaks: Leaks, report: promomsg.Report) -> None:
    leaks.shown(
        "report", [report, report.to_dict(), report.failures(), report.groups, vars(report)]
    )
    leaks.shown("outcomes", report.outcomes())


@pytest.mark.parametrize("fault", FAULTS, ids=_names)
@pytest.mark.parametrize("endpoint", ["stable_token", "singlesendmsg", "sendmsg", "getmsg"])
async def test_a_wechat_campaign(
    endpoint: str, fault: dict[str, Any], leaks: Leaks, tmp_path: Path
) -> None:
    recipients = singles() if endpoint in ("stable_token", "singlesendmsg") else members(1)
    poll = promomsg.PollPolicy(first_after=0.01, every=0.02, give_up_after=60.0)
    async with watched(leaks, Fault(endpoint=endpoint, **fault)) as box:
        report = await sent(
            box,
            "wechat",
            recipients,
            tmp_path / "a.db",
            timeout=0.15 if fault["kind"] == "hang" else 3.0,
            poll=poll,
            retry=RetryPolicy(attempts=2, first_pause=0.005, longest_pause=0.02),
        )
        show_report(leaks, report)
        leaks.files(tmp_path)


@pytest.mark.parametrize("fault", FAULTS, ids=_names)
async def test_a_wallet_campaign(fault: dict[str, Any], leaks: Leaks, tmp_path: Path) -> None:
    async with watched(leaks, Fault(endpoint="alipay.send", **fault)) as box:
        report = await sent(
            box,
            "alipay",
            wallet_users(),
            tmp_path / "a.db",
            timeout=0.15 if fault["kind"] == "hang" else 3.0,
            retry=RetryPolicy(attempts=2, first_pause=0.005, longest_pause=0.02),
        )
        show_report(leaks, report)
        leaks.files(tmp_path)


@pytest.mark.parametrize("endpoint", ["*", "token"])
@pytest.mark.parametrize("fault", FAULTS, ids=_names)
async def test_direct_calls(fault: dict[str, Any], endpoint: str, leaks: Leaks) -> None:
    rules = [Fault(endpoint=endpoint, after=1 if endpoint == "*" else 0, **fault)]
    async with watched(leaks, *rules) as box:
        timeout = 0.1 if fault["kind"] == "hang" else 3.0
        async with client(box, "wechat", timeout=timeout) as channel:
            calls: dict[str, Callable[[], Awaitable[Any]]] = {
                "send_one": lambda: channel.send_one(ONE, TO),
                "send_group": lambda: channel.send_group(ONE, Roles([1])),
                "get_delivery": lambda: channel.get_delivery("1"),
                "get_quota": channel.get_quota,
                "get_roles": channel.get_roles,
                "prepare": channel.prepare,
                "count": lambda: channel.count_audience(Roles([1])),
            }
            for name, call in calls.items():
                await expect_error(leaks, name, call)
        if endpoint == "*":
            async with client(box, "alipay", timeout=timeout) as wallet:
                user = Recipient(key="u", access_token=Secret(USERTOKEN + "1"), params={"who": "x"})
                await expect_error(
                    leaks, "send_one", lambda: wallet.send_one(message("alipay"), user)
                )
                await expect_error(
                    leaks, "apply", lambda: wallet.apply_token(refresh_token=Secret(REFRESH))
                )


@pytest.mark.parametrize("cut", [0, 7, 40])
async def test_a_provider_that_says_our_secrets_back(
    cut: int, leaks: Leaks, tmp_path: Path
) -> None:
    async with watched(leaks) as box, client(box, "wechat") as channel:
        await channel.prepare()
        token = channel._account.tokens.current()
        said = f"{token} {APPSECRET} ?access_token={token}&secret={APPSECRET}"
        for endpoint in ("*sendmsg", "getmsg", "quota_get", "getrole", "getpromoter"):
            for body in (
                f'{{"errcode":43101,"errmsg":"{"x" * cut}{said}"}}',
                f'{{"errcode":48001,"errmsg":"{said}"}}',
                said,
                "x" * (200 - cut) + said,
            ):
                box.faults = FaultPlan([Fault(endpoint=endpoint, kind="garbage", body=body)])
                for name, call in {
                    "send_one": lambda: channel.send_one(ONE, TO),
                    "send_group": lambda: channel.send_group(ONE, Roles([1])),
                    "get_delivery": lambda: channel.get_delivery("1"),
                    "get_quota": channel.get_quota,
                    "get_roles": channel.get_roles,
                    "count": lambda: channel.count_audience(Roles([1])),
                }.items():
                    await expect_error(leaks, name, call)
        box.faults = FaultPlan(
            [Fault(endpoint="singlesendmsg", errcode=43101, errmsg=said, calls=[1])]
        )
        report = await promomsg.send(channel, ONE, ["1", "2"], journal=tmp_path / "a.db")
        show_report(leaks, report)
        leaks.files(tmp_path)


async def test_a_call_that_is_cancelled(leaks: Leaks) -> None:
    async with watched(leaks, Fault(endpoint="*", kind="hang", after=1)) as box:
        async with client(box, "wechat") as channel, client(box, "alipay") as wallet:
            await channel.prepare()
            user = Recipient(key="u", access_token=Secret(USERTOKEN + "1"), params={"who": "x"})
            for call in (
                lambda: channel.send_one(ONE, TO),
                lambda: channel.send_group(ONE, Roles([1])),
                lambda: channel.get_delivery("1"),
                lambda: wallet.send_one(message("alipay"), user),
                lambda: wallet.apply_token(refresh_token=Secret(REFRESH)),
            ):
                task = asyncio.ensure_future(call())
                await real_time(0.03)
                leaks.shown("task", [task, task.get_stack(), task.get_coro()])
                task.cancel("stop")
                await asyncio.wait((task,))
                try:
                    task.result()
                except asyncio.CancelledError as error:
                    leaks.error("cancelled", error)
                else:
                    raise AssertionError("it was not cancelled")
        async with client(box, "wechat") as fresh:
            # In the middle of the token call.
            task = asyncio.ensure_future(fresh.prepare())
            await real_time(0.03)
            task.cancel()
            await asyncio.wait((task,))
            assert task.cancelled()
            try:
                task.result()
            except asyncio.CancelledError as error:
                leaks.error("cancelled", error)


async def test_wrong_use(leaks: Leaks, tmp_path: Path) -> None:
    def build(make: Callable[[], Any]) -> None:
        try:
            leaks.shown("made", [make()])
        except Exception as error:  # noqa: BLE001 - every one of them
            leaks.error("constructor", error)

    key = PEM.splitlines()
    broken = ["".join(key[:5]), "\n".join(key[:-3]), PEM.replace(key[5], key[5][:-3] + "!!!")]
    for make in (
        lambda: WeChatPromoter("", APPSECRET),
        lambda: WeChatPromoter("wx1", APPSECRET, base_url="ftp://x"),
        lambda: WeChatPromoter("wx1", APPSECRET, base_url="http://example.com"),
        lambda: WeChatPromoter("wx1", APPSECRET, timeout=-1),
        lambda: WeChatPromoter("wx1", APPSECRET, proxy="nonsense"),
        lambda: WeChatPromoter("wx1", APPSECRET, token=lambda stale: None),  # type: ignore[arg-type,return-value]
        lambda: WeChatPromoter("wx1", APPSECRET).with_account("", APPSECRET),
        lambda: pickle.dumps(Secret(APPSECRET)),
        lambda: f"{Secret(APPSECRET)} {Secret(APPSECRET)!s:>9} {Secret(APPSECRET)!r}",
        *(
            (
                lambda text=text: promomsg.AlipayMiniProgram(
                    "c", "a", text, verify=False, base_url="https://x.example/api"
                )
            )
            for text in broken
        ),
        lambda: promomsg.AlipayMiniProgram("c c", "a", PEM, public_key="x", base_url="https://x/"),
        lambda: promomsg.AlipayMiniProgram("c", "a", PEM, public_key="x", base_url="https://x/"),
        lambda: promomsg.AlipayMiniProgram("c", "a", PEM, public_key=PEM, base_url="https://x/"),
        lambda: promomsg.AlipayMiniProgram("c", "a", PEM, base_url="https://x.example/"),
        lambda: Recipient(key=7.5, access_token=USERTOKEN + "1"),  # type: ignore[arg-type]
    ):
        build(make)
    async with watched(leaks) as box:
        channel = client(box, "wechat")
        await channel.prepare()
        await channel.close()
        await expect_error(leaks, "closed", lambda: channel.send_one(ONE, TO))
        await expect_error(leaks, "closed", lambda: channel.get_delivery("1"))
        async with client(box, "wechat") as open_one:
            await open_one.prepare()
            other = asyncio.to_thread(lambda: asyncio.run(open_one.send_one(ONE, TO)))
            await expect_error(leaks, "another loop", lambda: other)
            other = asyncio.to_thread(lambda: asyncio.run(open_one.get_delivery("1")))
            await expect_error(leaks, "another loop", lambda: other)


async def test_secrets_given_in_the_clear(leaks: Leaks, tmp_path: Path) -> None:
    """The caller's plain text is in no frame of ours that an error is shown with."""
    token, wechats = USERTOKEN + "1", "SANDBOX_" + "1"
    der = keys().private_pem.reveal().encode()
    for make in (
        lambda: WeChatPromoter("wx1", APPSECRET.encode()),  # type: ignore[arg-type]
        lambda: WeChatPromoter("wx1", token=wechats),  # type: ignore[arg-type]
        lambda: WeChatPromoter("wx1", APPSECRET, session=5),  # type: ignore[arg-type]
        lambda: WeChatPromoter("wx1", APPSECRET, pace=5),  # type: ignore[arg-type]
        lambda: promomsg.AlipayMiniProgram("c c", "a", der, public_key="x", base_url="https://x/"),
    ):
        try:
            make()
        except PromoError as error:
            leaks.error("constructor", error)
        else:
            raise AssertionError("it was taken")
    results = [
        Fault(endpoint="alipay.*", kind=kind) for kind in ("minus_one", "token_invalid", "html")
    ]
    async with watched(leaks) as box, client(box, "alipay") as wallet:
        kept = TokenDatabase(tmp_path)  # a folder: it cannot be opened
        async with client(box, "alipay", tokens=kept) as storing:
            calls: list[Callable[[], Awaitable[Any]]] = [
                lambda: wallet.apply_token(refresh_token=REFRESH),
                lambda: wallet.apply_token(auth_code=REFRESH),
                lambda: wallet.apply_token(auth_code=REFRESH, refresh_token=REFRESH),
                lambda: wallet.apply_token(auth_code=REFRESH.encode()),
                lambda: wallet.apply_token(refresh_token=REFRESH, key="u"),
                lambda: storing.apply_token(refresh_token=REFRESH, key="u"),
                lambda: kept.save("u", UserToken(Secret(token), refresh_token=Secret(REFRESH))),
                lambda: wallet.send_one(message("alipay"), token),
                lambda: wallet.send_one(message("alipay"), {"access_token": token}),
                lambda: wallet.send_one(message("alipay"), Recipient("u", access_token=token)),
                lambda: wallet.send_one(
                    message("alipay"),
                    Recipient("u", access_token=token + " x", params={"who": "x"}),
                ),
                lambda: wallet.send_one(message("alipay"), Recipient("u", access_token=token * 20)),
            ]
            for fault in (None, *results):
                box.faults = FaultPlan([fault] if fault is not None else [])
                for number, call in enumerate(calls):
                    await expect_error(leaks, f"call {number}", call)
        async with WeChatPromoter("wx1", token=lambda stale: wechats, base_url=box.url) as sync:  # type: ignore[arg-type,return-value]
            await expect_error(leaks, "sync token", lambda: sync.send_one(ONE, TO))
            await expect_error(leaks, "sync token", sync.get_roles)


async def test_planning_that_fails(leaks: Leaks, tmp_path: Path) -> None:
    users = wallet_users()

    def breaks() -> Iterator[dict[str, Any]]:
        yield from users
        raise LookupError("the caller's")

    lists: list[Any] = [
        breaks(),
        [*users, 7.5j],
        [*users, "not-digits"],
        {"access_token": USERTOKEN + "1"},
        [{"access_token": USERTOKEN + "\x00 bad"}],
        [{"access_token": USERTOKEN + "x" * 200}],
        [{"key": "a", "access_token": USERTOKEN + "1"}, {"key": "a", "access_token": 3}],
    ]
    async with watched(leaks) as box, client(box, "alipay") as channel:
        for number, recipients in enumerate(lists):
            folder = tmp_path / str(number)
            folder.mkdir()
            await expect_error(
                leaks,
                f"list {number}",
                lambda folder=folder, recipients=recipients: promomsg.send(
                    channel, message("alipay"), recipients, journal=folder / "a.db"
                ),
            )
        await expect_error(
            leaks,
            "no folder",
            lambda: promomsg.send(
                channel, message("alipay"), users, journal=tmp_path / "no" / "a.db"
            ),
        )
        report = await promomsg.send(channel, message("alipay"), users, journal=tmp_path / "a.db")
        assert report.sent == len(users)
        for recipients in (users, users[:3], None):
            campaign = Campaign.resume(tmp_path / "a.db", channel, recipients=recipients)
            await expect_error(leaks, "resume", campaign.__aenter__)
            if campaign._block is not None:
                await campaign.__aexit__(None, None, None)
        leaks.files(tmp_path)


async def test_what_public_objects_print(leaks: Leaks, tmp_path: Path) -> None:
    store = TokenDatabase(tmp_path / "tokens" / ".." / "kept.db")
    token = UserToken(Secret(USERTOKEN + "1"), refresh_token=Secret(REFRESH))
    async with watched(leaks) as box:
        async with client(box, "wechat") as channel, client(box, "alipay", tokens=store) as wallet:
            await channel.prepare()
            run = Campaign(channel, message("wechat"), singles(), journal=tmp_path / "a.db")
            leaks.shown("before", [channel, wallet, run, vars(run), store, token, keys()])
            async with run:
                leaks.shown("during", [run, run.progress, vars(run)])
                await run.wait()
            for thing in (
                channel,
                wallet,
                run,
                channel._http,
                channel._account,
                channel._account.tokens,
                wallet._users,
            ):
                leaks.shown("objects", [thing])
            leaks.shown("users", [Recipient(access_token=USERTOKEN + "1"), *wallet_users(0)])
            leaks.shown("audience", [Promoters(["1"])])
        await store.close()


async def test_crash_output_of_a_process(leaks: Leaks, tmp_path: Path) -> None:
    leaks.know("appsecret of the child", "s3cret")
    leaks.know("user token of the child", address("alipay", 0)[:-6])
    async with watched(leaks) as box, ForkServer() as fork_server:
        for number, kind in enumerate(("singles", "alipay")):
            folder = tmp_path / kind
            folder.mkdir()
            job = Job(
                kind=kind,
                url=box.url,
                journal=str(folder / "a.db"),
                count=300,
                log=str(folder / "log"),
                result=str(folder / "result"),
                keys=(PEM, box.alipay_public_key),
                fsize=(100_000, 140_000)[number],
            )
            assert (await fork_server.run(job)).status == 70
            assert "JournalError" in (folder / "log").read_text()
            leaks.files(folder)


async def test_files_are_their_owners_only(tmp_path: Path) -> None:
    settings = SandboxSettings(refuse_group={"1003": 43101}, poll_steps=(100,), failure_threshold=0)
    seen: dict[str, int] = {}
    before = os.umask(0)
    try:
        async with Sandbox(settings=settings) as box:
            async with (
                client(box, "wechat") as channel,
                Campaign(
                    channel,
                    message("wechat"),
                    members(1),
                    journal=tmp_path / "a.db",
                    poll=promomsg.PollPolicy(first_after=0.01, every=0.02),
                    clock=HurriedClock(),
                ) as run,
            ):
                async for _ in run:
                    for path in tmp_path.iterdir():
                        with suppress(FileNotFoundError):  # it may go between the two
                            seen[path.name] = stat.S_IMODE(path.stat().st_mode)
            assert run.report.failed == 1
            await resumed(box, "wechat", members(1), tmp_path / "a.db")
    finally:
        os.umask(before)
    for path in tmp_path.iterdir():
        seen[path.name] = stat.S_IMODE(path.stat().st_mode)
    assert {"a.db", "a.db-wal", "a.db-shm", "a.db.lock", "a.db.group-1.failures"} <= set(seen)
    assert set(seen.values()) == {0o600}, seen


async def test_no_warning_shows_one(leaks: Leaks, tmp_path: Path) -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        async with watched(leaks) as box:
            forgotten = client(box, "wechat")
            await forgotten.prepare()
            with pytest.raises((PromoError, JournalError)):
                await forgotten.get_delivery("nobody's")
            await forgotten.close()
            del forgotten
        gc.collect()
    leaks.shown("warning", [str(w.message) + repr(w) for w in caught])
    leaks.text("warnings", "looked")
