"""`send` and `plan` as a user types them, against a sandbox over real HTTP."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from cli_campaigns import campaign, conserved, one_document, promomsg, running

from promomsg.sandbox import Fault, FaultPlan, Sandbox, SandboxSettings

KEYS = [
    "campaign", "state", "reason", "planned", "sent", "failed", "unknown", "skipped", "cancelled",
    "pending", "by_code", "groups", "warnings", "elapsed_s",
]  # fmt: skip


def test_a_small_campaign_is_sent_one_by_one_and_says_so_in_one_document(
    served: Sandbox, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = campaign(tmp_path, served.url, 49)
    assert promomsg("send", file, "--yes", "--json") == 0
    document = one_document(capsys)
    assert list(document) == KEYS
    assert conserved(document)
    assert (document["state"], document["sent"], document["pending"]) == ("done", 49, 0)
    assert served.calls["singlesendmsg"] == 49
    assert served.calls["sendmsg"] == 0


def test_fifty_go_as_one_group_and_its_failures_are_named(
    served: Sandbox, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    served.settings.refuse_group = {"1003": 103010}
    file = campaign(tmp_path, served.url, 50)
    assert promomsg("send", file, "--yes", "--json") == 3
    document = one_document(capsys)
    assert conserved(document)
    assert (document["sent"], document["failed"]) == (49, 1)
    assert document["by_code"] == {"103010": 1}
    [group] = document["groups"]
    assert set(group) == {"msg_id", "planned", "percent", "send_cnt", "fail_cnt", "state"}
    assert served.calls["singlesendmsg"] == 0
    capsys.readouterr()
    assert promomsg("report", tmp_path / "autumn.db", "--format", "csv") == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "key,verdict,code,detail,attempts,group,at"
    assert len(lines) == 2
    assert lines[1].startswith("k3,failed,103010,")


def test_a_lost_answer_is_unknown_and_exits_4(
    served: Sandbox, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    served.faults = FaultPlan(
        [Fault(endpoint="singlesendmsg", kind="drop_after_delivering", calls=[2])]
    )
    file = campaign(tmp_path, served.url, 5)
    assert promomsg("send", file, "--yes", "--json") == 4
    document = one_document(capsys)
    assert (document["sent"], document["unknown"]) == (4, 1)


def test_a_wrong_secret_halts_and_is_resumable(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = SandboxSettings(accounts={"wx0123456789abcdef": "another-secret"})
    with running(settings=settings) as served:
        file = campaign(tmp_path, served.url, 5)
        assert promomsg("send", file, "--yes", "--json") == 5
    out = capsys.readouterr()
    document = json.loads(out.out)
    assert document["state"] == "halted"
    assert document["pending"] == 5
    assert "promomsg resume" in out.err
    assert "a-secret-of-nobody" not in out.out + out.err


def test_plan_shows_rows_that_will_not_be_sent_and_leaves_nothing(
    served: Sandbox, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = "key,id,name\na,1,Ann\na,2,Bob\nb,,\nc,3,\n"
    file = campaign(tmp_path, served.url, rows, title="{name}")
    before = sorted(p.name for p in tmp_path.iterdir())
    assert promomsg("plan", file) == 0
    text = capsys.readouterr().out
    for code in ("DUPLICATE_KEY", "NO_ADDRESS", "MISSING_PARAM"):
        assert code in text
    assert "title: Ann" in text
    assert sorted(p.name for p in tmp_path.iterdir()) == before
    assert served.calls["singlesendmsg"] == 0
    assert promomsg("send", file, "--dry-run", "--json") == 0
    plan = one_document(capsys)
    assert (plan["rows"], plan["to_send"], plan["single_calls"]) == (4, 1, 1)


def test_plan_counts_the_days_that_a_quota_of_the_day_takes(
    served: Sandbox, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pace = "singles_per_second = 10\nsingles_per_day = 4"
    file = campaign(tmp_path, served.url, 10, pace=pace)
    assert promomsg("plan", file) == 0
    assert "at least 3 China-time days; of calls about 1 s" in capsys.readouterr().out
    assert promomsg("plan", file, "--json") == 0
    assert (document := one_document(capsys))["days"] == 3
    assert document["seconds"] == pytest.approx(1.0, rel=0.05)


def test_without_a_terminal_it_needs_yes(
    served: Sandbox, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = campaign(tmp_path, served.url)
    assert promomsg("send", file) == 1
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert "--yes" in err
    assert not (tmp_path / "autumn.db").exists()


def test_a_journal_in_use_is_refused_and_names_resume_and_retry(
    served: Sandbox, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = campaign(tmp_path, served.url)
    assert promomsg("send", file, "--yes", "--json") == 0
    capsys.readouterr()
    assert promomsg("send", file, "--yes", "--json") == 1
    out = capsys.readouterr()
    assert out.out == ""
    assert "resume" in out.err
    assert "retry" in out.err
    assert served.calls["singlesendmsg"] == 10


def test_a_file_that_is_no_journal_is_left_alone(
    served: Sandbox, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = campaign(tmp_path, served.url)
    (tmp_path / "autumn.db").write_text("mine")
    assert promomsg("send", file, "--yes") == 1
    assert "not a journal" in capsys.readouterr().err
    assert (tmp_path / "autumn.db").read_text() == "mine"


def test_a_journal_that_is_a_folder_is_called_one(
    served: Sandbox, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = campaign(tmp_path, served.url)
    for journal in (tmp_path, ""):
        assert promomsg("send", file, "--yes", "--journal", journal) == 1
        assert "is a folder; give a file's name" in capsys.readouterr().err
    assert served.calls["singlesendmsg"] == 0


def test_test_to_is_journalled_apart_and_never_counts_as_the_campaign(
    served: Sandbox, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = campaign(tmp_path, served.url)
    assert promomsg("send", file, "--yes", "--json", "--test-to", "k1, k7") == 0
    document = one_document(capsys)
    assert document["campaign"] == "autumn (test)"
    assert (document["sent"], document["skipped"]) == (2, 8)
    assert sorted(served.ledger.delivered) == ["1001", "1007"]
    assert len(list(tmp_path.glob("autumn-test-*.db"))) == 1
    assert promomsg("send", file, "--yes", "--json") == 0
    assert one_document(capsys)["sent"] == 10


def test_test_to_somebody_who_is_not_in_the_list_sends_nothing(
    served: Sandbox, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = campaign(tmp_path, served.url)
    for command in (("plan", file), ("send", file, "--yes")):
        assert promomsg(*command, "--test-to", "k1,zz,k2,yy") == 1
        assert "no recipient has the key 'yy', 'zz': nothing was sent" in capsys.readouterr().err
    assert served.calls["singlesendmsg"] == 0
    assert not list(tmp_path.glob("*.db*"))


def test_test_to_does_not_count_broken_rows_that_were_not_selected(
    served: Sandbox, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = "key,id,name\na,1,Ann\nb,1.2E+17,Bob\nc,3,\nd,4,Dan\n"
    file = campaign(tmp_path, served.url, rows, title="{name}")
    assert promomsg("send", file, "--yes", "--json", "--test-to", "a") == 0
    document = one_document(capsys)
    assert (document["sent"], document["by_code"]) == (1, {"NOT_SELECTED": 3})
    # One that was selected does count.
    assert promomsg("send", file, "--yes", "--json", "--test-to", "a,b") == 3
    document = one_document(capsys)
    assert document["by_code"] == {"BAD_ADDRESS": 1, "NOT_SELECTED": 2}
    assert promomsg("send", file, "--yes", "--test-to", "b,c") == 1
    assert "can be sent to" in capsys.readouterr().err


def test_max_recipients_is_checked_before_the_first_call(
    served: Sandbox, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = campaign(tmp_path, served.url)
    assert promomsg("send", file, "--yes", "--max-recipients", 9) == 1
    assert "the plan would send to 10 recipients, over the cap of 9" in capsys.readouterr().err
    assert served.calls["singlesendmsg"] == 0
    assert not list(tmp_path.glob("autumn.db*"))


def test_everyone_needs_the_word_on_the_command_line(
    served: Sandbox, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = campaign(tmp_path, served.url, who="", sections="[audience]\neveryone = true")
    assert promomsg("send", file, "--yes", "--json") == 1
    assert "--everyone" in capsys.readouterr().err
    assert served.calls["sendmsg"] == 0
    assert promomsg("send", file, "--yes", "--json", "--test-to", "k1", "--everyone") == 1
    assert "--test-to" in capsys.readouterr().err
    assert promomsg("send", file, "--yes", "--json", "--everyone") == 0
    document = one_document(capsys)
    assert document["sent"] == document["planned"] == 300
    [group] = served.ledger.groups
    assert group.everyone


def test_a_suppression_list_needs_an_audience_that_is_expanded(
    served: Sandbox, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "blocked.csv").write_text("id\n100003\n", "utf-8")
    roles = "[audience]\nroles = [1]"
    blocked = {"who": "", "campaign": 'suppress = "blocked.csv"'}
    file = campaign(tmp_path, served.url, sections=roles, **blocked)
    for command in (("plan", file), ("send", file, "--yes")):
        assert promomsg(*command) == 1
        assert "expand=true" in capsys.readouterr().err
    assert served.calls["sendmsg"] == 0
    file = campaign(tmp_path, served.url, sections=f"{roles}\nexpand = true", **blocked)
    assert promomsg("send", file, "--yes", "--json") == 0
    assert one_document(capsys)["by_code"] == {"SUPPRESSED": 1}
    assert "100003" not in served.ledger.delivered


def test_everyone_does_not_go_with_a_list(
    served: Sandbox, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert promomsg("send", campaign(tmp_path, served.url), "--yes", "--everyone") == 1
    assert "[audience]" in capsys.readouterr().err


def test_no_wait_leaves_groups_pending_and_resume_follows_them(
    served: Sandbox, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    served.settings.poll_step_seconds = 10_000
    file = campaign(tmp_path, served.url, 60)
    assert promomsg("send", file, "--yes", "--json", "--no-wait") == 5
    out = capsys.readouterr()
    document = json.loads(out.out)
    assert (document["state"], document["pending"]) == ("following", 60)
    assert f"promomsg resume {tmp_path / 'autumn.db'}" in out.err
    served.settings.poll_step_seconds = None
    assert promomsg("resume", tmp_path / "autumn.db", "--yes", "--json") == 0
    assert one_document(capsys)["sent"] == 60
    assert served.calls["sendmsg"] == 1


def test_suppressed_people_are_skipped_and_do_not_count_against_it(
    served: Sandbox, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "blocked.csv").write_text("key\nk2\n")
    file = campaign(tmp_path, served.url, campaign='suppress = "blocked.csv"')
    assert promomsg("send", file, "--yes", "--json") == 0
    document = one_document(capsys)
    assert document["by_code"] == {"SUPPRESSED": 1}
    assert "1002" not in served.ledger.delivered


def test_a_person_reads_the_plan_and_the_result_on_stdout(
    served: Sandbox, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert promomsg("send", campaign(tmp_path, served.url, 3), "--yes") == 0
    text = capsys.readouterr().out
    assert "single calls      3" in text
    assert "autumn: done" in text


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('name = "autumn"', 'nam = "autumn"', "did you mean 'name'"),
        ("file:secret.txt", "literal", "env:NAME"),
        ("file:secret.txt", "env:PROMOMSG_NOT_SET", "is not set"),
        ('"people.csv"', '"gone.csv"', "gone.csv"),
        ("[message]", "[message", "not valid TOML"),
        ('title = "优惠"', 'title = "{nobody}"', "nobody"),
    ],
)
def test_a_wrong_campaign_file_is_one_line_and_exit_1(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], old: str, new: str, said: str
) -> None:
    file = campaign(tmp_path, "http://127.0.0.1:9")
    file.write_text(file.read_text().replace(old, new))
    assert promomsg("send", file, "--yes") == 1
    err = capsys.readouterr().err
    assert said in err
    assert err.count("\n") == 1
    assert "literal" not in err
