"""What MkDocs calls while it builds the site (`mkdocs.yml`)."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Final

from codes_page import with_codes
from mkdocs.structure.files import File, Files
from names_page import with_names
from outside import ROOT, outside_pages, place_of, rewritten, without_breaks

_TOP: Final = ("README.md", "README.zh-CN.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md")
_CHINESE: Final = "zh"
"""The folder below docs/ whose pages are Chinese."""
_IN_CHINESE: Final = "zh-CN.md"
"""How a page of the repository's top ends that is."""
_POLICY: Final = (
    "default-src 'none'; base-uri 'none'; form-action 'self'; style-src 'self' 'unsafe-inline'; "
    "script-src 'self' 'unsafe-inline'; worker-src 'self'; connect-src 'self'; img-src 'self' data:; "
    "font-src 'self'"
)
"""A browser that is asked for something from another host refuses it."""
_DIAGRAM: Final = re.compile(r"(<!-- drawn: (\w+) -->)\n```mermaid\n.*?```\n", re.DOTALL)


def on_config(config: Any) -> Any:
    """Puts the pages of the repository's top, what the providers say, and the Chinese ones into the
    navigation."""
    docs = Path(config.docs_dir)
    top = {name: place_of(name) for name in _TOP if (ROOT / name).is_file()}
    chinese = [page for name, page in top.items() if name.endswith(_IN_CHINESE)]
    others = [page for page in top.values() if page not in chinese]
    _fill(config.nav, "Project", [{"README": others[0]}, *others[1:]])
    _fill(config.nav, "What the providers say", _pages_of(docs, "facts"))
    _fill(config.nav, "中文", [*({"简介": page} for page in chinese), *_pages_of(docs, _CHINESE)])
    return config


def _pages_of(docs: Path, folder: str) -> list[str]:
    """The pages below a folder of docs/, what is read first first."""
    pages = [path.relative_to(docs).as_posix() for path in (docs / folder).rglob("*.md")]
    first = [f"{folder}/{name}.md" for name in ("index", "tutorial")]
    return sorted(pages, key=lambda page: (page not in first, page))


def _fill(nav: list[Any], section: str, pages: list[str]) -> None:
    """Puts pages into the section of that title, wherever it is in the navigation."""
    for entry in nav:
        for title, below in entry.items() if isinstance(entry, dict) else ():
            if title == section:
                entry[title] = pages
            elif isinstance(below, list):
                _fill(below, section, pages)


def on_files(files: Files, config: Any) -> Files:
    """Adds the files outside of docs/ that pages link to."""
    pages = [f"docs/{file.src_uri}" for file in files.documentation_pages()]
    top = [name for name in _TOP if (ROOT / name).is_file()]
    made = outside_pages([*pages, *top])
    for name in top:
        made.setdefault(name, rewritten((ROOT / name).read_text(encoding="utf-8"), name))
    for name, text in made.items():
        page = File.generated(config, place_of(name), content=text)
        if not page.src_uri.startswith("project/"):
            page.inclusion = page.inclusion.NOT_IN_NAV
        files.append(page)
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """A page's text as the site needs it: its links, its tables of codes, its pictures."""
    if _is_chinese(page):
        markdown = without_breaks(markdown)
    if page.file.generated_by is not None:
        return markdown
    text = rewritten(markdown, f"docs/{page.file.src_uri}")
    text = with_names(with_codes(text)) if "<!-- made: " in text else text
    return _DIAGRAM.sub(r"\1\n![\2](pictures/\2-states.svg)\n", text)


def _is_chinese(page: Any) -> bool:
    name: str = page.file.src_uri
    return name.startswith(f"{_CHINESE}/") or name.endswith(_IN_CHINESE)


def on_post_page(output: str, page: Any, **_: Any) -> str:
    """Says of a page which language it is in, and that it loads nothing from elsewhere."""
    if _is_chinese(page):
        output = output.replace('<html lang="en"', '<html lang="zh-CN"', 1)
    return _with_policy(output)


def on_post_template(output: str, template_name: str, **_: Any) -> str:
    """The same for the page of an error."""
    return _with_policy(output) if template_name == "404.html" else output


def _with_policy(html: str) -> str:
    policy = f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
    return re.sub(r"<head>", f"<head>{policy}", html, count=1)
