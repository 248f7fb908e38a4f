"""Takes the texts that a person may read from Python source: a method for babel's extraction.

Nobody marks a text. Whatever has two words and is no docstring, SQL, log line or pattern is one: an
f-string with its values as holes, `"{0} is a folder"`, since that is what the terminal can know again
when it prints it (`promomsg/cli/language/catalogue.py`). A single word is told from data by `_("word")`.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Collection, Iterator, Mapping
from typing import IO, Any, Final, NamedTuple

__all__ = ["extract", "extract_errors"]

_WORDS: Final = re.compile(
    "|".join((
        r"[A-Za-z]{2,}[\])}'`,;:]* [\[({'`]*(?:[A-Za-z]|\{\d)",  # two words, or a word and a value
        r"[a-z]{2,}[,:;]? \{",
        r"\} [a-z]{2,}|\} [a-z] [a-z]",
        r"\ban? (?:[A-Za-z]{2,}|\{)",  # "a list"
    ))
)  # fmt: skip
"""A text for a person."""
_SQL: Final = re.compile(
    r"\s*\(?(?:SELECT|UPDATE|INSERT|DELETE|CREATE|WITH|ALTER|DROP|PRAGMA|BEGIN|COMMIT|ROLLBACK|ATTACH|LOCK|SET"
    r"|COPY|FROM|WHERE|AND|ORDER|LIMIT|CASE|JOIN|ON|RETURNING|VALUES|COALESCE|EXISTS|NOT|TRUNCATE|GRANT|COMMENT"
    r"|DO|ANALYZE|VACUUM|LISTEN|NOTIFY|SAVEPOINT|RELEASE|EXPLAIN|UNION|GROUP|HAVING|USING)\b"
    r"|\w+ TEXT|\(\w+, \w+\)|extract\(|\(\{0\} OR| PRIMARY"
)
_SQL_IN_IT: Final = re.compile(
    r"\b(?:SELECT|MATERIALIZED|WHERE|COLLATE|GLOB|LIKE|NULL|INTEGER|EPOCH|iif)\b|\b(?:AND|AS|IN|BETWEEN) *[{(}0-9]"
    r"| AND w\.| AND maybe_|::|%s|=excluded|%\(\w+\)s|to_char\("
)
"""A statement, its beginning, or a piece of one."""
_NO_TEXT: Final = re.compile(
    "|".join((
        r"promomsg [a-z]|do_part|promomsg\.\w+\(\w+, ",  # what is typed
        r"docs/[\w/]+\.md",
        r"(?:Content|Client|User|Host|Proxy)[\w-]*: |POST |CONNECT |[\w/-]+; charset|event: |private, max-age|default-src '|[^\n]*\r\n",  # HTTP
        r"[A-Z]\w+( [A-Z_]\w+)+$|module \{|HttpAnswer|\.NET",  # names
        r"<[A-Za-z]|yyyy-|\(\?|[\s{}\d.]+$",
    ))
)  # fmt: skip
"""What is read by programs or typed by people."""
_OF_OTHERS: Final = frozenset({
    "starting up", "shutting down", "recovery mode", "not yet accepting", "too many", "slots are reserved",
    "permission denied for database", "no password supplied", "invalid port", "invalid sslmode",
    "unable to open", "no space", "disk i/o error", "could not decode", "not a database", "open id", "union id", "grand total",
    "Campaign send", "Match reconcile", "send_group: Promoters", "maybe_sent = 1 AND code <> ''",
    "parked_until REAL", "followed_since REAL", "promomsg {0}", "promomsg: {0}",
    "files] pandas", "JSON lines", "access token", "Campaign.resume(journal, channel)",
})  # fmt: skip
"""What other programs say and people write, looked for in their texts; and names."""
_LISTS: Final = ("SHOWN_WORDS", "WORDS_IN_TEXTS", "FROM_ELSEWHERE")
"""Tuples of messages."""
_NOT_SHOWN: Final = frozenset({
    "log_event", "execute", "executemany", "TypeError",
    "AssertionError", "compile", "match", "fullmatch", "search", "sub", "finditer", "getLogger", "statement",
    "deprecated",
})  # fmt: skip
"""Calls whose texts are for logs, databases or programmers."""


class Found(NamedTuple):
    """A text in the source."""

    line: int
    function: str | None
    messages: str
    comments: list[str]


def extract(
    file: IO[bytes],
    keywords: Mapping[str, Any],
    comment_tags: Collection[str],
    options: Mapping[str, Any],
) -> Iterator[Found]:
    """babel's interface: (line, function, messages, comments) of each text in a file."""
    finder = _Finder()
    finder.visit(ast.parse(file.read()))
    yield from finder.found


def extract_errors(
    file: IO[bytes],
    keywords: Mapping[str, Any],
    comment_tags: Collection[str],
    options: Mapping[str, Any],
) -> Iterator[Found]:
    """The same of a file whose other texts are data: what its `UsageError`s say."""
    for node in ast.walk(ast.parse(file.read())):
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") in ("UsageError", "print"):
            finder = _Finder()
            finder.generic_visit(node)
            yield from finder.found


class _Finder(ast.NodeVisitor):
    def __init__(self) -> None:
        self.found: list[Found] = []

    def visit_Expr(self, node: ast.Expr) -> None:
        if not isinstance(node.value, ast.Constant):  # a docstring, or one of a name
            self.generic_visit(node)

    def _keep_docstring(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        """A command's docstring is its help; every paragraph is a text."""
        for decorator in node.decorator_list:
            call = decorator.func if isinstance(decorator, ast.Call) else decorator
            if isinstance(call, ast.Attribute) and call.attr in ("command", "group"):
                for text in re.split(r"\n\s*\n", ast.get_docstring(node) or ""):
                    self._add(node.lineno, _escaped(" ".join(text.split())))

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        self._keep_docstring(node)
        if node.name != "__repr__":
            self.generic_visit(node)

    def visit_Assign(self, node: ast.Assign) -> None:
        if ast.unparse(node.targets[0]) != "__all__":
            self.generic_visit(node)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        if ast.unparse(node.target) in _LISTS and node.value is not None:
            for word in ast.literal_eval(node.value):
                self.found.append(Found(node.lineno, None, word, []))
        else:
            self.generic_visit(node)

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> None:
        self.generic_visit(node)

    def visit_Call(self, node: ast.Call) -> None:
        name = node.func.id if isinstance(node.func, ast.Name) else getattr(node.func, "attr", "")
        texts = [
            a.value for a in node.args if isinstance(a, ast.Constant) and isinstance(a.value, str)
        ]
        if name == "_" and texts:
            self.found.append(Found(node.lineno, None, texts[0], []))
        elif name in ("counted", "shown_count") and texts:
            many = texts[1] if len(texts) > 1 else f"{texts[0]}s"
            for noun in (texts[0], many):
                self.found.append(Found(node.lineno, None, f"{{0:,}} {noun}", []))
            self.visit(node.args[0])
        elif name == "log_event" and len(texts) > 1:
            count = iter(range(99))
            text = re.sub(
                r"%\(\w+\)[-.,\d]*[a-z]", lambda _: f"{{{next(count)}}}", _escaped(texts[1])
            )
            self._add(node.lineno, text)
        elif (
            name not in _NOT_SHOWN and getattr(getattr(node.func, "value", None), "id", "") != "log"
        ):
            self.generic_visit(node)

    def visit_Constant(self, node: ast.Constant) -> None:
        if isinstance(node.value, str):
            # What `str.format` or `replace` fills.
            holes = iter(range(99))
            text = re.sub(r"\{(?:then)?\}", lambda _: f"\0{next(holes)}\1", node.value)
            self._add(node.lineno, _escaped(text).replace("\0", "{").replace("\1", "}"))

    def visit_JoinedStr(self, node: ast.JoinedStr) -> None:
        text, comment, number = "", [], 0
        for part in node.values:
            if isinstance(part, ast.Constant):
                text += _escaped(str(part.value))
            elif isinstance(part, ast.FormattedValue):
                text += f"{{{number}{_form(part)}}}"
                comment.append(f"{{{number}}}: {ast.unparse(part.value)}")
                number += 1
        self._add(node.lineno, text, "; ".join(comment))
        for part in node.values:
            if isinstance(part, ast.FormattedValue):
                self.visit(part.value)

    def _add(self, line: int, text: str, comment: str = "") -> None:
        if (
            _WORDS.search(text)
            and not _SQL.match(text)
            and text not in _OF_OTHERS
            and not _SQL_IN_IT.search(text)
            and not _NO_TEXT.match(text)
        ):
            self.found.append(Found(line, None, text, [comment] if comment else []))


def _escaped(text: str) -> str:
    return text.replace("{", "{{").replace("}", "}}")


def _form(part: ast.FormattedValue) -> str:
    """`!r` and `:,` stay in the hole: they say what may stand in it."""
    if part.conversion == ord("r"):
        return "!r"
    spec = ast.unparse(part.format_spec)[2:-1] if part.format_spec is not None else ""
    return ":," if re.fullmatch(r",|\.?\d*[dfg]|\.0%|.*,.*", spec) and spec else ""
