"""What the reference needs beside Griffe's own reading: this package's docstrings and its structs.

- One line may document several parameters (`timeout, extra: see the class`): a line for each.
- `docs/design.md, "Pace"` is a link to that heading.
- A `msgspec.Struct` has a signature made of its fields, as a dataclass has.
"""

from __future__ import annotations

import re
from typing import Any, Final

import griffe

_TOGETHER: Final = re.compile(
    r"^( +)(\*{0,2}\w+(?:, \*{0,2}\w+)+): (.*(?:\n\1 +\S.*)*)$", re.MULTILINE
)
_CITED: Final = re.compile(r"docs/([\w/-]+)\.md(?:,\s+\"([^\"]+)\")?")


def _one_by_one(found: re.Match[str]) -> str:
    indent, names, text = found.groups()
    return "\n".join(f"{indent}{name}: {text}" for name in names.split(", "))


def _link(found: re.Match[str]) -> str:
    """A citation as a link from a page of docs/reference/."""
    page, heading = found.groups()
    if heading is None:
        return f"[{page}.md](../{page}.md)"
    heading = " ".join(heading.split())
    anchor = re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
    return f"[{page}.md, “{heading}”](../{page}.md#{anchor})"


def _fields(one: griffe.Class) -> list[griffe.Parameter]:
    """A struct's own fields as parameters of its constructor."""
    by_name = one.keywords.get("kw_only") is not None
    kind = griffe.ParameterKind
    return [
        griffe.Parameter(
            name,
            annotation=member.annotation,
            kind=kind.keyword_only if by_name else kind.positional_or_keyword,
            default=member.value,
        )
        for name, member in one.members.items()
        if not member.is_alias
        and isinstance(member, griffe.Attribute)
        and member.annotation is not None
        and "property" not in member.labels
        and ("class-attribute" not in member.labels or "instance-attribute" in member.labels)
        and not name.startswith("_")
    ]


def _is_struct(one: griffe.Class) -> bool:
    return any(str(base).rpartition(".")[2] == "Struct" for base in one.bases)


class HouseDocstrings(griffe.Extension):
    """See above."""

    def on_object(self, *, obj: Any, **_: Any) -> None:
        """Changes a docstring before it is parsed."""
        if obj.docstring is not None:
            text = _TOGETHER.sub(_one_by_one, obj.docstring.value)
            obj.docstring.value = _CITED.sub(_link, text)

    def on_package(self, *, pkg: griffe.Module, **_: Any) -> None:
        """Gives structs their constructors, once every class is there."""
        waiting: list[griffe.Object] = [pkg]
        while waiting:
            for member in waiting.pop().members.values():
                if member.is_alias or not isinstance(member, (griffe.Module, griffe.Class)):
                    continue
                waiting.append(member)
                if isinstance(member, griffe.Class) and "__init__" not in member.members:
                    self._give_constructor(member)

    def _give_constructor(self, one: griffe.Class) -> None:
        try:
            line = [one, *one.mro()]
        except ValueError:
            return
        if not any(map(_is_struct, line)):
            return
        fields = {field.name: field for parent in reversed(line) for field in _fields(parent)}
        first = griffe.Parameter("self", kind=griffe.ParameterKind.positional_or_keyword)
        by_name = griffe.ParameterKind.keyword_only
        ordered = sorted(fields.values(), key=lambda field: field.kind is by_name)
        made = griffe.Function(
            "__init__", parameters=griffe.Parameters(first, *ordered), parent=one
        )
        one.set_member("__init__", made)
