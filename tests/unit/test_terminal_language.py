"""The language of the terminal: which it is, and what a text is in Chinese."""

from __future__ import annotations

import gettext
import io
import re
import subprocess
import sys
from collections.abc import Iterator
from string import Formatter

import pytest
from babel.messages.mofile import write_mo
from messages.chinese import PO, problems, read

from promomsg.cli import main
from promomsg.cli.language.catalogue import Catalogue, Pattern
from promomsg.cli.language.po_file import compile_po
from promomsg.cli.language.terminal_language import _, language_for, speak, translated
from promomsg.cli.language.wide_text import padded, width, wrapped
from promomsg.cli.output.printing import print_table


def messages() -> dict[str, str]:
    return {str(m.id): str(m.string) for m in read() if m.id}


CHINESE = Catalogue(messages())


@pytest.fixture
def in_chinese() -> Iterator[None]:
    speak("zh")
    yield
    speak("en")


def test_no_text_of_the_terminal_is_without_its_chinese() -> None:
    found = problems()
    assert found == [], (
        "`python -m tests.messages --update`, then fill in what is empty:\n" + "\n".join(found)
    )


@pytest.mark.parametrize(
    ("environment", "language"),
    [
        ({}, "en"),
        ({"LANG": "zh_CN.UTF-8"}, "zh"),
        ({"LANG": "zh_TW.UTF-8"}, "zh"),
        ({"LANG": "de_DE.UTF-8"}, "en"),
        ({"LANG": "zh_CN.UTF-8", "LC_MESSAGES": "en_US.UTF-8"}, "en"),
        ({"LANG": "en_US.UTF-8", "LC_MESSAGES": "zh_CN.UTF-8"}, "zh"),
        ({"LANG": "zh_CN.UTF-8", "LC_MESSAGES": "zh_CN.UTF-8", "LC_ALL": "C"}, "en"),
        ({"LANG": "zh_CN.UTF-8", "LC_ALL": "C.UTF-8"}, "en"),
        ({"LANG": "en_US.UTF-8", "LC_ALL": ""}, "en"),
        ({"LANG": "en_US.UTF-8", "LANGUAGE": "zh_CN:en"}, "zh"),
        ({"LANG": "zh_CN.UTF-8", "LANGUAGE": "en:zh_CN"}, "en"),
        ({"LANG": "C", "LANGUAGE": "zh_CN"}, "en"),
    ],
)
def test_the_locale_chooses_the_language_as_gettext_reads_it(
    environment: dict[str, str], language: str
) -> None:
    assert language_for([], environment) == language


@pytest.mark.parametrize(
    ("words", "language"),
    [
        (["send", "--lang", "zh", "a.toml"], "zh"),
        (["--lang=zh", "send"], "zh"),
        (["send", "--lang", "en"], "en"),
        (["send", "--", "--lang", "zh"], "en"),
        (["send", "--lang"], "en"),
        (["send", "--lang", "xx"], "en"),
    ],
)
def test_lang_is_read_before_the_options(words: list[str], language: str) -> None:
    assert language_for(words, {}) == language


def test_lang_outweighs_the_locale() -> None:
    assert language_for(["--lang", "en"], {"LANG": "zh_CN.UTF-8"}) == "en"


def test_a_locale_does_not_choose_chinese_where_it_cannot_be_shown(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ascii_only = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "stderr", ascii_only)
    assert language_for([], {"LANG": "zh_CN"}) == "en"
    assert language_for(["--lang", "zh"], {"LANG": "zh_CN"}) == "zh"
    gbk = io.TextIOWrapper(io.BytesIO(), encoding="gbk")
    monkeypatch.setattr(sys, "stderr", gbk)
    monkeypatch.setattr(sys, "stdout", gbk)
    assert language_for([], {"LANG": "zh_CN.GBK"}) == "zh"


def filled(message: str) -> tuple[str, dict[str, str]]:
    """A text as the source would make it from a message, and what is in its holes."""
    text, values = "", {}
    for number, (literal, name, spec, conversion) in enumerate(Formatter().parse(message)):
        text += literal
        if name is not None:
            values[name] = (
                f"'x{number}'" if conversion else str(number + 3) if spec else f"X{number}"
            )
            text += values[name]
    return text, values


def test_every_message_is_known_again_with_values_in_it() -> None:
    wrong = []
    for message, chinese in messages().items():
        text, values = filled(message)
        if " " in text.strip() and not re.search(r"\}\{\d\}", message):
            wanted = "".join(
                literal + ("" if name is None else values[name])
                for literal, name, _spec, _conversion in Formatter().parse(chinese)
            )
            if CHINESE.text(text).replace(" ", "") != wanted.replace(" ", ""):
                wrong.append((text, CHINESE.text(text), wanted))
    assert not wrong, "\n".join(map(str, wrong))


@pytest.mark.parametrize(
    ("english", "chinese"),
    [
        (
            "the plan would send to 1200 recipients, over the cap of 1000 (max_recipients); "
            "nothing was sent",
            "计划要发给 1200 位收件人，超过上限 1000（max_recipients）；没有发送任何消息",
        ),
        # A hint at the end, which is a text of its own.
        (
            "a.toml: [pace] has no key 'singel'; did you mean 'single'?",
            "a.toml：[pace] 没有键 'singel'；您是不是想写 'single'？",
        ),
        # A table's name stays what stands in the file, though it is a word that is shown elsewhere.
        (
            "a.toml: [message] has no key 'template'; did you mean 'templates'?",
            "a.toml：[message] 没有键 'template'；您是不是想写 'templates'？",
        ),
        ("5 are sent to first (first = 5)", "先发给 5 位（first = 5）"),
        # A blank between two scripts.
        ("a group that is lost cannot take poll", "lost 的群发不能进行 poll"),
        # Texts in each other's holes, and the system's own.
        (
            "nix.csv cannot be read: No such file or directory",
            "无法读取 nix.csv：没有这个文件或文件夹",
        ),
        # Put together at punctuation.
        ("people.csv row 7: it is a column's name", "people.csv 第 7 行：这是列名"),
        ("nothing was sent", "没有发送任何消息"),
        # What is put together of several, though a message fits the whole.
        (
            "/x/a.db: database or disk is full; free some space, then resume",
            "/x/a.db：数据库或磁盘已满；请腾出空间，然后 resume",
        ),
        (
            "/x/a.db: disk I/O error; check the disk, then resume",
            "/x/a.db：磁盘读写错误；请检查磁盘，然后 resume",
        ),
        # What a file is, which is a text of its own.
        (
            "p.xlsx is a zip archive; unpack it and name the list in it",
            "p.xlsx 是 zip 压缩包；请解压并指定其中的名单",
        ),
        # A code before the reason, and an end that is empty.
        (
            "NOT_SENT: 8 attempts for one recipient sent nothing; the last one: x. Fix this, then resume",
            "NOT_SENT：对一位收件人的 8 次尝试都没有发出任何内容；最后一次：x。请修复，然后 resume",
        ),
        (
            "a: done after 2 s: 6 sent, 1 failed, 1 unknown, 0 pending",
            "a：2 秒后完成：已发送 6，失败 1，未知 1，待发送 0 ",
        ),
    ],
)
def test_a_text_with_values_is_chinese(english: str, chinese: str) -> None:
    assert CHINESE.text(english) == chinese


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "autumn",
        "a stranger's words, and more: of them (all)",
        "优惠活动",
        "a and b",
    ],
)
def test_what_is_no_text_of_ours_stays_as_it_is(text: str) -> None:
    assert CHINESE.text(text) == text


def test_blanks_around_a_text_stay() -> None:
    assert CHINESE.text("  nothing was sent\n") == "  没有发送任何消息\n"


def test_a_strangers_text_costs_no_more_than_one_look() -> None:
    stranger = "a: b, c; d (e). " * 200
    assert CHINESE.text(stranger) == stranger
    many = "x: " * 3000
    assert CHINESE.text(many) == many


def test_a_hole_says_what_may_stand_in_it() -> None:
    quoted = Pattern("{0!r} is not text{1}", "{0} 不是文字{1}")
    assert quoted.match("'a b' is not text; so") == {"0": "'a b'", "1": "; so"}
    assert quoted.match("a b is not text") is None
    assert quoted.match("[1, 2] is not text") == {"0": "[1, 2]", "1": ""}
    assert quoted.match("5 is not text") == {"0": "5", "1": ""}
    assert quoted.match("'it\\'s' is not text") == {"0": "'it\\'s'", "1": ""}
    number = Pattern("{0:,} singles a {1}", "每{1} {0} 次")
    assert number.match("1,200.5 singles a day") == {"0": "1,200.5", "1": "day"}
    assert number.match("many singles a day") is None
    assert number.filled({"0": "3", "1": "天"}) == "每天 3 次"


def test_english_is_as_it_was_written() -> None:
    assert translated("nothing was sent") == "nothing was sent"
    assert _("about {0} left") == "about {0} left"


def test_speaking_chinese_and_english_again(in_chinese: None) -> None:
    assert translated("nothing was sent") == "没有发送任何消息"
    assert _("about {0} left").format("3 秒") == "还需约 3 秒"
    assert _("{0:,} skipped").format(1200) == "跳过 1,200"
    assert translated("3 days ago") == "3 天前"
    assert translated("14 d 20 h") == "14 天 20 小时"
    assert _("no message of ours") == "no message of ours"
    speak("en")
    assert translated("nothing was sent") == "nothing was sent"


def test_a_catalogue_is_compiled_to_what_babel_makes_of_it() -> None:
    ours = gettext.GNUTranslations(io.BytesIO(compile_po(PO.read_text(encoding="utf-8"))))
    written = io.BytesIO()
    write_mo(written, read())
    written.seek(0)
    theirs = gettext.GNUTranslations(written)
    known = messages()
    assert {m: ours.gettext(m) for m in known} == known == {m: theirs.gettext(m) for m in known}


def test_fuzzy_and_empty_messages_are_left_out() -> None:
    text = (
        'msgid ""\nmsgstr ""\n"Content-Type: text/plain; charset=UTF-8\\n"\n\n'
        '#, fuzzy\nmsgid "a b"\nmsgstr "甲"\n\nmsgid "c d"\nmsgstr ""\n\n#~ msgid "e f"\n#~ msgstr "乙"\n\n'
        'msgid ""\n"g "\n"h"\nmsgstr "丙"\n'
    )
    made = gettext.GNUTranslations(io.BytesIO(compile_po(text)))
    assert [made.gettext(m) for m in ("a b", "c d", "e f", "g h")] == ["a b", "c d", "e f", "丙"]


def test_a_reader_of_english_loads_no_catalogue() -> None:
    program = (
        "import sys; from promomsg.cli import main; main(['--help']); main(['explain', '43101']);"
        "print('promomsg.cli.language.catalogue' in sys.modules, 'gettext' in sys.modules and 0)"
    )
    run = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60
    )
    assert run.stdout.splitlines()[-1].startswith("False")


def test_what_is_missing_for_the_terminal_is_said_in_chinese_too(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("promomsg.cli.find_spec", lambda name: None)
    assert main(["status", "--lang", "zh"]) == 1
    assert "终端命令需要 click 和 rich" in capsys.readouterr().err
    assert translated("nothing was sent") == "nothing was sent"


@pytest.mark.parametrize("columns", [20, 40, 60, 80, 160])
def test_chinese_is_wrapped_by_the_columns_it_takes(columns: int) -> None:
    text = (
        "检查活动文件、账号、时钟和磁盘（不会发送）。用 `promomsg plan` 列出全部，共 1,200 位收件人。"
        * 3
    )
    lines = wrapped(text, columns)
    assert "".join(lines).replace(" ", "") == text.replace(" ", "")
    assert all(width(line) <= columns + 2 for line in lines)  # closing punctuation hangs over
    assert not [line for line in lines if line[0] in "，。；：、（）"[:5]]


def test_a_table_of_chinese_stands_in_columns(
    in_chinese: None, capsys: pytest.CaptureFixture[str]
) -> None:
    print_table(("key", "verdict", "detail"), [("甲乙丙", "已发送", "好"), ("k", "失败", "不好")])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["key", "结果", "说明"]
    starts = {width(line[: line.rindex(word)]) for line, word in zip(
        [lines[0], *lines[2:]], ["说明", "好", "不好"], strict=True
    )}  # fmt: skip
    assert len(starts) == 1
    assert width(padded("中文", 10)) == 10
