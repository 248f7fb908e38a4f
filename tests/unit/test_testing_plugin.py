"""The pytest plugin, used as a project that has promomsg installed uses it: in a run of its own."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from promomsg.sandbox import Ledger
from promomsg.testing import LedgerChecks


def run(folder: Path, text: str, *options: str) -> tuple[int, str]:
    """Runs a test file in an empty folder; (pytest's exit status, what it printed)."""
    (folder / "test_mine.py").write_text(textwrap.dedent(text), encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "promomsg.testing.plugin", "-p",
         "no:cacheprovider", "-p", "no:xdist", "-p", "no:cov", "-W", "error", "--strict-markers",
         "-o", "asyncio_default_fixture_loop_scope=function",
         *options, "test_mine.py"],
        cwd=folder, capture_output=True, text=True, timeout=60,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )  # fmt: skip
    return done.returncode, done.stdout + done.stderr


SEND = """
    import pytest
    import promomsg
    from promomsg.sandbox import Fault

    MESSAGE = promomsg.WeChatMessage(1, {"title": "sale"}, "pages/index/index")

    @pytest.mark.promomsg_faults(
        Fault(endpoint="singlesendmsg", kind="drop_after_delivering", calls=[2])
    )
    @pytest.mark.promomsg_settings(refuse_single={"1003": 43101})
    @pytest.mark.asyncio
    async def test_a_campaign(wechat, promomsg_sandbox, promomsg_ledger):
        report = await promomsg.send(wechat, MESSAGE, ["1001", "1002", "1003"])
        assert (report.sent, report.failed, report.unknown) == (1, 1, 1)
        assert promomsg_sandbox.calls["singlesendmsg"] == 3
        promomsg_ledger.reached_only("1001", "1002")
        promomsg_ledger.reached_nobody("1003")
        promomsg_ledger.agrees_with(report)
"""


def test_a_campaign_is_tested_with_faults_settings_and_the_ledger(tmp_path: Path) -> None:
    status, shown = run(tmp_path, SEND)
    assert status == 0, shown


def test_the_same_works_in_pytest_asyncios_automatic_mode(tmp_path: Path) -> None:
    status, shown = run(tmp_path, SEND, "-o", "asyncio_mode=auto")
    assert status == 0, shown


def test_a_wallets_client_signs_and_verifies(tmp_path: Path) -> None:
    status, shown = run(
        tmp_path,
        """
        import pytest
        import promomsg

        MESSAGE = promomsg.AlipayMessage(
            template_code="TP_1",
            templates=[promomsg.ContentTemplate({"title": "sale"}, language="en-US")],
        )

        @pytest.mark.asyncio
        async def test_a_wallet(alipay, promomsg_sandbox, promomsg_ledger):
            people = [promomsg.Recipient(key=str(n), access_token=f"token-{n}") for n in range(3)]
            report = await promomsg.send(alipay, MESSAGE, people)
            assert report.sent == 3
            promomsg_ledger.reached_only("token-0", "token-1", "token-2")
            promomsg_ledger.agrees_with(report)
            assert promomsg_sandbox.settings.client_public_key
        """,
    )
    assert status == 0, shown


def test_code_without_an_event_loop_reaches_the_sandbox(tmp_path: Path) -> None:
    status, shown = run(
        tmp_path,
        """
        import asyncio
        import os
        import promomsg

        MESSAGE = promomsg.WeChatMessage(1, {"title": "sale"}, "pages/index/index")

        def send(url, ids):
            async def main():
                async with promomsg.WeChatPromoter("wx1", "a-secret", base_url=url) as wechat:
                    return await promomsg.send(wechat, MESSAGE, ids)
            return asyncio.run(main())

        def test_a_function(promomsg_sandbox, promomsg_ledger):
            assert send(promomsg_sandbox.url, ["1001"]).sent == 1
            promomsg_ledger.reached_once("1001")
            assert "promomsg-state" in os.environ["PROMOMSG_STATE"]
        """,
    )
    assert status == 0, shown


def test_an_outage_of_many_seconds_takes_no_time(tmp_path: Path) -> None:
    status, shown = run(
        tmp_path,
        """
        import time
        import pytest
        import promomsg
        from promomsg.sandbox import Fault

        MESSAGE = promomsg.WeChatMessage(1, {"title": "sale"}, "pages/index/index")

        @pytest.mark.asyncio
        @pytest.mark.promomsg_faults(Fault(endpoint="connect", kind="refuse", limit=6))
        async def test_an_outage(wechat, promomsg_ledger, promomsg_clock):
            began = time.monotonic()
            before = promomsg_clock.monotonic()
            report = await promomsg.send(
                wechat, MESSAGE, ["1001"], journal=promomsg.MemoryJournal(), clock=promomsg_clock
            )
            assert report.sent == 1
            assert promomsg_clock.monotonic() - before > 5
            assert time.monotonic() - began < 20
            promomsg_ledger.agrees_with(report)
        """,
    )
    assert status == 0, shown


def test_a_fault_plan_may_be_text_or_a_file_and_the_tests_own_goes_with_the_modules(
    tmp_path: Path,
) -> None:
    (tmp_path / "plan.toml").write_text('[[fault]]\nendpoint = "singlesendmsg"\nkind = "daily"\n')
    status, shown = run(
        tmp_path,
        """
        from pathlib import Path
        import pytest

        pytestmark = [
            pytest.mark.promomsg_faults(Path("plan.toml"), seed=7),
            pytest.mark.promomsg_settings(token_life=60, page_size=10),
        ]

        @pytest.mark.promomsg_faults('[[fault]]\\nendpoint = "getmsg"\\nkind = "minus_one"\\n')
        @pytest.mark.promomsg_settings(token_life=90)
        def test_it(promomsg_sandbox):
            assert [f.kind for f in promomsg_sandbox.faults.faults] == ["daily", "minus_one"]
            assert promomsg_sandbox.seed == 7
            settings = promomsg_sandbox.settings
            assert (settings.token_life, settings.page_size) == (90, 10)
        """,
    )
    assert status == 0, shown


@pytest.mark.parametrize(
    ("marker", "said"),
    [
        ("promomsg_faults(3)", "give promomsg.sandbox.Fault"),
        ("promomsg_faults(sed=1)", "there is no 'sed'"),
        ("promomsg_settings(token_lif=60)", "did you mean 'token_life'"),
    ],
)
def test_a_wrong_marker_is_said_in_a_line(tmp_path: Path, marker: str, said: str) -> None:
    status, shown = run(
        tmp_path,
        f"""
        import pytest

        @pytest.mark.{marker}
        def test_it(promomsg_sandbox):
            pass
        """,
    )
    assert status == 1
    assert said in shown, shown


@pytest.fixture
def ledger() -> Ledger:
    ledger = Ledger()
    for to in ("1001", "1002", "1002"):
        ledger.single(to, field="id", msg_type=1, content="{}", path="", at=0.0)
    return ledger


def test_a_failure_names_who_is_concerned(ledger: Ledger) -> None:
    checks = LedgerChecks(ledger)
    checks.reached_once("1001")
    with pytest.raises(AssertionError, match=r"^1003: got no message$"):
        checks.reached_once("1001", "1003")
    with pytest.raises(AssertionError, match=r"^1002 \(2 times\): got more than one message$"):
        checks.nobody_twice()
    with pytest.raises(AssertionError, match=r"^1002: got a message and was not among"):
        checks.reached_only("1001")
    with pytest.raises(AssertionError, match=r"^1001, 1002: got a message$"):
        checks.reached_nobody()
    checks.reached_nobody("1003")


def test_a_failure_of_many_names_the_first_ten() -> None:
    with pytest.raises(AssertionError, match="0, 1, 2, 3, 4, 5, 6, 7, 8, 9 and 15 more: got no"):
        LedgerChecks(Ledger()).reached_once(*map(str, range(25)))
