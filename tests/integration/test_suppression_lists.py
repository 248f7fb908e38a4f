"""Lists of people who said no, in every form that programs write them: 1001 is never reached.

Each list is either understood, and then the other person is still sent to, or refused in one line
that names the file (and the line), and then nobody is.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

import openpyxl
import pytest
from campaigning import MESSAGE, QUICK

import promomsg
from promomsg import UsageError, WeChatPromoter
from promomsg.sandbox import Sandbox

pytestmark = pytest.mark.asyncio

CASES = Path(__file__).parent.parent / "cases" / "suppress"
UNDERSTOOD = {
    "plain.txt", "columns.csv", "semicolon.csv", "sep-line.csv", "tab.txt", "formula.csv",
    "apostrophe.txt", "zero-width.txt",
}  # fmt: skip
PEOPLE = [
    {"key": "k1", "id": "1001", "openid": "o1001"},
    {"key": "k2", "id": "2002", "openid": "o2002"},
]


class Case(NamedTuple):
    name: str
    content: bytes | str
    understood: bool
    said: str = ""
    """What the refusal says; for a list that is understood, nothing."""


def yes(name: str, content: bytes | str) -> Case:
    return Case(name, content, True)


def no(name: str, content: bytes | str, said: str) -> Case:
    return Case(name, content, False, said)


LISTS = [
    # Line ends, blanks, byte order marks.
    yes("crlf.txt", "3003\r\n1001\r\n"),
    yes("cr.txt", "3003\r1001\r"),
    yes("no-last-line-end.txt", "3003\n1001"),
    yes("blank-lines.txt", "\n\n  \n1001\n\n\t\n"),
    yes("blanks-around.txt", "  1001  \n\u3000 1001 \u00a0\n"),
    yes("bom.txt", "\ufeff1001\n"),
    yes("bom-inside.csv", "id\n\ufeff1001\n"),
    yes("zero-width-around.csv", "id,why\n\u200b1001\u200e,asked\n"),
    yes("utf-16-columns.txt", "id\twhy\r\n1001\tasked\r\n".encode("utf-16")),
    yes("gbk.csv", "id,原因\n1001,要求退订\n".encode("gbk")),
    yes("gbk-plain.txt", "客户三\n1001\n".encode("gbk")),
    # Quotes and guards.
    yes("quoted.csv", '"id","why"\n"1001","asked, twice"\n'),
    yes("quoted-plain.txt", '"1001"\n"3003"\n'),
    yes("quoted-formula.csv", 'id,why\n"=""1001""",asked\n'),
    yes("backtick.txt", "`1001\n"),
    yes("tab-guard.csv", "id,why\n\t1001,asked\n"),
    yes("guarded-key.csv", "key\n'k1\n"),
    yes("note-of-two-lines.csv", 'id,why\n1001,"asked\nagain"\n'),
    # Separators.
    yes("pipe.txt", "id|why\n1001|asked\n"),
    yes("tab-columns.tsv", "why\tid\nasked\t1001\n"),
    yes("sep-tab.csv", "sep=\t\nid\twhy\n1001\tasked\n"),
    yes("semicolon-plain.txt", "1001;asked\n3003;asked\n"),
    yes("comma-plain.txt", "asked,1001\nasked,3003\n"),
    yes("one-long-line.txt", "3003,1001,4004\n"),
    yes("trailing-delimiters.csv", "id,why,,\n1001,asked,,\n3003,,,\n"),
    yes("trailing-in-plain.txt", "1001,\n3003,\n"),
    # Headings.
    yes("open-id.csv", "Open ID,why\no1001,asked on 3 May\n"),
    yes("upper.csv", "ID\n1001\n"),
    yes("union-id-beside.csv", "UNION_ID,openId,note\n,o1001,by phone\n"),
    yes("key-column.csv", "Key,name\nk1,小明\n"),
    yes("all-columns.csv", "key,id,openid\nk3,3003,o3003\nk1,1001,o1001\n"),
    yes("blank-leading-lines.csv", "\n\n,,\nid,why\n1001,asked\n"),
    yes("unknown-headings.csv", "编号,原因\n1001,要求\n"),
    yes("short-but-clear.csv", "id,why\n1001\n3003,asked\n"),
    yes("trailing-comment-column.csv", "id,why\n1001,# asked on 3 May\n"),
    yes("mixed.txt", "ann@x.com\n+8613800138000\nCRM/24.17\n小红\n1001\n"),
    yes("openid.txt", "oABCDEFGHIJKLMNOPQRSTUVWXYZ12\no1001\n"),
    yes("several-columns-plain.txt", "小明,k1,o1001\n"),
    yes("excel-unicode-text.txt", "ID\tname\r\n1001\t小明\r\n".encode("utf-16")),
    yes("our-report.csv", "key,verdict,code,detail,attempts,group,at\nk1,failed,43101,no,1,,x\n"),
    yes("keys-with-others-numbers.csv", "key\nOrder 1001\nk1@x.com\nCRM/24\nk1\n"),
    yes("written-like-nobody.txt", "CRM/17.k9\nshop:小红\n+8613800138000\nk1\n"),
    # Somebody of the campaign with more around: a mark, a remark, a name of its column.
    no("colon.txt", "3003\n1001:asked\n", "line 2"),
    no("equals.txt", "user=1001\n", "line 1"),
    no("web-address.txt", "https://crm.example.com/u/o1001\n", "line 1"),
    no("two-in-one.txt", "3003/1001\n", "line 1"),
    no("glued.txt", "1001退订\n", "line 1"),
    no("glued-before.txt", "编号1001\n", "line 1"),
    no("starred.txt", "1001*\n", "line 1"),
    no("plus.txt", "+1001\n", "line 1"),
    no("hyphen-before.txt", "3003\n-1001\n", "line 2"),
    no("arrow.txt", "o1001->asked\n", "line 1"),
    no("caret.csv", "id^why\n1001^asked\n", "line 2"),
    no("contact.vcf", "BEGIN:VCARD\nUID:1001\nEND:VCARD\n", "line 2"),
    no("no-address-at.txt", "1001@openid\n", "line 1"),
    no("other-digits.txt", "١٠٠١\n", "line 1"),
    no("dotted-thousands.txt", "1.001\n", "line 1"),
    no("remark-in-key.csv", "key\nk3\nk1 (asked)\n", "line 3"),
    no("comment-in-key.csv", "key\nk1 # asked\n", "line 2"),
    no("other-separator-below.csv", "key\nk1;asked\n", "line 2"),
    no("two-keys-in-a-cell.csv", 'key,why\n"k3, k1",asked\n', "line 2"),
    no("numbered-keys.csv", "key\n1. k3\n2. k1\n", "line 3"),
    no("bracketed-key.csv", "key\n<k1>\n", "line 2"),
    no("formula-key.csv", "key\n=k1\n", "line 2"),
    no("json-key.csv", 'key\n"{""key"": ""k1""}"\n', "line 2"),
    # What cannot be told.
    no("comment-line.txt", "# people who said no\n1001\n", "line 1"),
    no("trailing-comment.txt", "3003\n1001 # asked\n", "line 2"),
    no("slashes.txt", "3003\n1001 // asked\n", "line 2"),
    no("remark.txt", "1001 asked on 3 May\n", "line 1"),
    no("remark-column.txt", "1001,asked on 3 May\n", "line 1"),
    no("phone-with-blanks.txt", "+86 138 0013 8000\n1001\n", "line 1"),
    no("full-width-comma.txt", "3003，1001\n", "line 1"),
    no("chinese-list.txt", "3003、1001\n", "line 1"),
    no("brackets.txt", "3003\n[1001]\n", "line 2"),
    no("python.txt", "['1001', '3003']\n", "line 1"),
    no("sql.txt", "('1001'),\n", "line 1"),
    no("quotes-of-a-book.txt", "“1001”\n", "line 1"),
    no("named.txt", "id:1001\n", "line 1"),
    no("named-too.txt", "openid=o1001\n", "line 1"),
    no("bullets.txt", "*3003\n•1001\n", "line 1"),
    no("sentence.txt", "3003\n1001:\n", "line 2"),
    no("full-stops.txt", "o3003.\no1001.\n", "line 1"),
    no("inside.txt", "10\u200b01\n", "line 1"),
    no("mangled.txt", "3003\n1.38E+10\n", "line 2"),
    no("float-ids.csv", "id\n3003.0\n1001.0\n", "line 2"),
    no("thousands.csv", 'id\n"1,001"\n', "line 2"),
    no("nan.csv", "id\nnan\n", "line 2"),
    no("null.csv", "openid,id\nNULL,1001\n", "line 2"),
    no("error-cell.csv", "id,why\n#N/A,asked\n", "line 2"),
    no("half-width.csv", "id\n１００１\n", "line 2"),
    no("letters.csv", "id,why\n小明,asked\n", "line 2"),
    no("shifted.csv", "why,id,by\n1001,asked\n", "line 2"),
    no("surplus.csv", "why,id\nasked, twice,1001\n", "line 2"),
    no("blank-wanted.csv", "id,why\n,1001\n", "line 2"),
    no("blank-wanted-of-two.csv", "id,openid,why\n3003,,x\n,,1001\n", "line 3"),
    no("twice-the-same.csv", "id,ID,why\n3003,1001,asked\n", "line 1"),
    no("nearly.csv", "id,wechat_openid\n3,o1001\n", "line 1"),
    no("request-ids.csv", "request_id,why\n1001,asked\n", "line 1"),
    no("joined.csv", "id,why\n3003,x\nwhy,id\nasked,1001\n", "line 3"),
    no("joined-keys.csv", "key,why\nk3,x\nwhy,key\nasked,k1\n", "line 3"),
    no("title.csv", "Blocked people\nid,why\n1001,asked\n", "line 1"),
    no("title-of-a-word.csv", "blocked\nid,why\n1001,asked\n", "line 2"),
    no("sep-wrong.csv", "sep=|\nid;why\n1001;asked\n", "line 1"),
    no("open-quote-to-the-end.csv", 'id,why\n3003,"x\n1001,y\n', "line 2"),
    no("open-quote-short.csv", 'id,why\n3003,"x\n1001\n4004,y"\n', "line 2"),
    no("quote-after-quote.csv", 'id,why\n"1001"x,asked\n', "line 2"),
    no("control.csv", "key\nk\x0b1\n", "line 2"),
    no("soft-hyphen.csv", "key\nk\u00ad1\n", "line 2"),
    no("nul.txt", "3003\n10\x0001\n", "nul.txt"),
    no("array.json", '["1001"]\n', "JSON"),
    no("object.txt", '{"id": "1001"}\n', "JSON"),
    no("page.html", "<html><td>1001</td></html>", "web page"),
    no("page.csv", "<table><tr><td>1001</td></tr></table>", "web page"),
    no("campaign.toml", '[campaign]\nsuppress = "blocked.csv"\n', "campaign file"),
    no("campaign.csv", '[campaign]\nname = "autumn"\n', "campaign file"),
    no("document.pdf", b"%PDF-1.4\n1001\n", "PDF"),
    no("archive.zip", b"PK\x03\x04" + bytes(40), "zip"),
    no("old.xls", b"\xd0\xcf\x11\xe0" + bytes(40), "old Excel"),
    no("packed.gz", b"\x1f\x8b\x08" + bytes(40), "gzip"),
    no("fake.xlsx", "id\n1001\n", "no xlsx file"),
    no("blank.txt", "\n \n\t\n", "blank lines"),
    no("only-a-bom.txt", "\ufeff", "blank lines"),
    no("cut.csv", "id\n1001\n".encode("utf-16-le"), "UTF-16"),
    no("nameless-report.csv",
       "key,verdict,code,detail,attempts,group,at\nrow 1,sent,,,1,,x\n", "line 2"),
]  # fmt: skip


async def one_list(channel: WeChatPromoter, box: Sandbox, path: Path) -> UsageError | None:
    try:
        report = await promomsg.send(channel, MESSAGE, PEOPLE, suppress=path, **QUICK)
    except UsageError as error:
        assert box.ledger.total == 0
        return error
    assert not {"1001", "o1001"} & set(box.ledger.delivered)
    assert list(box.ledger.delivered) == ["o2002"]
    assert report.by_code == {"SUPPRESSED": 1}
    summary = r"suppression list: [1-9]\d* values?, 1 row of this list left out"
    assert any(re.fullmatch(summary, warning) for warning in report.warnings)
    return None


@pytest.mark.parametrize(
    "name", sorted(p.name for p in CASES.iterdir() if p.name not in ("people.csv", "README.md"))
)
async def test_the_cases_that_were_handed_over(
    channel: WeChatPromoter, box: Sandbox, name: str
) -> None:
    error = await one_list(channel, box, CASES / name)
    assert (error is None) == (name in UNDERSTOOD)
    if error is not None:
        assert name in str(error)
        assert "\n" not in str(error)


@pytest.mark.parametrize("case", LISTS, ids=lambda case: case.name)
async def test_a_list_is_understood_or_refused_in_one_line(
    channel: WeChatPromoter, box: Sandbox, tmp_path: Path, case: Case
) -> None:
    path = tmp_path / case.name
    path.write_bytes(case.content.encode() if isinstance(case.content, str) else case.content)
    error = await one_list(channel, box, path)
    assert (error is None) == case.understood, error
    if error is not None:
        text = str(error)
        assert case.name in text
        assert case.said in text
        assert "\n" not in text


@pytest.mark.parametrize("cell", ["crm\u20131", "crm\u20111", "crm\u22121"])
async def test_a_dash_of_a_word_processor_is_the_hyphen_of_a_key(
    channel: WeChatPromoter, box: Sandbox, tmp_path: Path, cell: str
) -> None:
    path = tmp_path / "blocked.csv"
    path.write_text(f"key,why\n{cell},asked\n")
    with pytest.raises(UsageError, match=r"line 2: .* is nobody of this campaign"):
        await promomsg.send(channel, MESSAGE, [{"key": "crm-1", "id": "1"}], suppress=path, **QUICK)
    assert box.ledger.total == 0


async def test_a_row_of_a_workbook_that_cannot_be_read_is_named_with_its_file(
    channel: WeChatPromoter, box: Sandbox, tmp_path: Path
) -> None:
    book = openpyxl.Workbook()
    for row in (["id", "why"], [1001, "asked"], ["合计", 1]):
        book.active.append(row)
    path = tmp_path / "blocked.xlsx"
    book.save(path)
    with pytest.raises(UsageError, match=r"blocked\.xlsx row 3 cannot be read"):
        await promomsg.send(channel, MESSAGE, PEOPLE, suppress=[path], **QUICK)
    assert box.ledger.total == 0
