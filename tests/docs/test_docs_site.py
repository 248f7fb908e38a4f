"""The documentation as a site: it builds without a warning, its links are there, it loads nothing from elsewhere."""

from __future__ import annotations

import fcntl
import html
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from markdown_blocks import ROOT, blocks, read

import promomsg
import promomsg.channel
import promomsg.sandbox
import promomsg.testing
from promomsg.code_meanings import OWN_CODES
from promomsg.sandbox.fault_plan import ENDPOINTS, KINDS
from promomsg.testing import fake_provider

sys.path.insert(0, str(ROOT / "docs" / "site"))

import outside
from check_site import Page, problems
from names_page import pages_of_names
from outside import linked_files, rewritten, without_breaks


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built site: the one at $PROMOMSG_SITE, or one that the first of the testing processes builds."""
    if given := os.environ.get("PROMOMSG_SITE"):
        return Path(given)
    shared = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        shared = shared.parent
    folder = shared / "site"
    with (shared / "site.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.is_dir():
            done = subprocess.run(
                [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", folder],
                cwd=ROOT,
                env={**os.environ, "NO_MKDOCS_2_WARNING": "1", "PYTHONPATH": str(ROOT)},
                capture_output=True,
                text=True,
                check=False,
            )
            assert done.returncode == 0, done.stderr
    return folder


def page(site: Path, name: str) -> str:
    return (site / name).read_text(encoding="utf-8")


def test_every_link_is_there_and_nothing_is_loaded_from_elsewhere(site: Path) -> None:
    assert problems(site) == []
    assert len(list(site.rglob("*.html"))) > 50


def test_every_public_name_is_in_the_reference_once(site: Path) -> None:
    names = {f"promomsg.{name}" for name in promomsg.__all__}
    names |= {f"promomsg.sandbox.{name}" for name in promomsg.sandbox.__all__}
    names |= {f"promomsg.testing.{name}" for name in promomsg.testing.__all__}
    names |= {f"promomsg.testing.fake_provider.{name}" for name in fake_provider.__all__}
    names.add("promomsg.testing.channel_contract.ChannelContract")
    found = pages_of_names()
    assert names - found.keys() == set(), "give it a line on a page of docs/reference/"
    assert [name for name, pages in found.items() if len(pages) > 1] == []
    sources = {source for pages in found.values() for source in pages}
    anchors = {
        source: Page(page(site, f"reference/{source.stem}.html")).anchors for source in sources
    }
    assert [name for name in names if name not in anchors[found[name][0]]] == []
    own = Page(page(site, "reference/own-channel.html")).anchors
    assert {f"promomsg.channel.{name}" for name in promomsg.channel.__all__} - own == set()
    table = page(site, "reference/index.html")
    assert all(f">{name}</code>" in table for name in promomsg.__all__)


def test_the_reference_says_what_each_kind_of_fault_does(site: Path) -> None:
    text = page(site, "reference/testing.html")
    assert [name for name in (*KINDS, *ENDPOINTS) if f"<code>{name}</code>" not in text] == []


def test_every_code_is_on_the_page_of_codes(site: Path) -> None:
    from promomsg.alipay.codes import CODES
    from promomsg.wechat.codes import ROWS

    text = page(site, "codes.html")
    anchors = Page(text).anchors
    assert {*OWN_CODES, *ROWS, *CODES} <= anchors
    assert "the recipient refuses messages" in text
    assert "give the placeholder a fallback: {name|客官}" in html.unescape(text)
    assert "<!-- made" not in text


def test_the_diagrams_of_the_site_are_pictures(site: Path) -> None:
    text = page(site, "states.html")
    assert 'src="pictures/recipient-states.svg"' in text
    assert 'src="pictures/group-states.svg"' in text
    assert "mermaid" not in re.sub(r"<script.*?</script>", "", text, flags=re.DOTALL)


def test_a_file_of_the_source_is_a_page_that_shows_it(site: Path) -> None:
    text = page(site, "source/promomsg/states.py.html")
    assert "class" in text
    assert "IllegalMove" in text
    assert 'href="source/promomsg/states.py.html"' in page(site, "states.html")
    assert "<h1" in page(site, "project/index.html")  # README


def test_the_pictures_drawn_from_the_code_are_current() -> None:
    done = subprocess.run(
        [sys.executable, ROOT / "docs" / "site" / "make_pictures.py", "--check"],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("picture", sorted((ROOT / "docs").rglob("*.svg")), ids=lambda p: p.name)
def test_a_picture_needs_nothing_but_itself(picture: Path) -> None:
    text = picture.read_text(encoding="utf-8")
    loads = [one for one in Page(text).loads if not one.startswith("#")]
    assert loads == []
    assert "@font-face" not in text
    assert set(re.findall(r"https?://[\w.-]+", text)) <= {"http://www.w3.org", "http://127.0.0.1"}


def test_the_readme_is_one_page_with_one_picture() -> None:
    text = read("README.md")
    assert len(text.splitlines()) <= 150
    assert len(re.findall(r"!\[[^\]]*\]\(|<img ", text)) == 1
    assert len(re.findall(r"CPython 3\.\d+", text)) == 1
    assert blocks("README.md", "python")


BROKEN = """
<html><head><link rel="stylesheet" href="https://fonts.example/x.css">
<style>@import "//cdn.example/y.css"; p { background: url(https://cdn.example/z.png) }</style>
<meta http-equiv="Content-Security-Policy" content="default-src 'none'">
<script src="gone.js"></script></head>
<body id="top"><a href="#top">a</a><a href="#bottom">b</a><a href="other.html">c</a>
<a href="https://example.com/read">d</a><img src="data:image/png;base64,AA=="></body></html>
"""


def test_a_site_with_faults_is_found_out(tmp_path: Path) -> None:
    (tmp_path / "index.html").write_text(BROKEN, encoding="utf-8")
    (tmp_path / "bare.html").write_text("<html><body></body></html>", encoding="utf-8")
    (tmp_path / "a.css").write_text("p { background: url('https://cdn.example/q.png') }")
    said = "\n".join(problems(tmp_path))
    for one in (
        "fonts.example",
        "cdn.example/y.css",
        "z.png",
        "q.png",
        "gone.js",
        "#bottom",
        "other.html",
    ):
        assert one in said
    assert "bare.html: has no policy" in said
    assert len(said.splitlines()) == 8


def test_links_are_rewritten_outside_of_code_alone() -> None:
    text = "[a](../README.md#more) [b](states.md) ![p](pictures/x.svg)\n```md\n[c](../x.py)\n```\n"
    assert rewritten(text, "docs/guide.md").splitlines() == [
        "[a](project/README.md#more) [b](states.md) ![p](pictures/x.svg)", "```md", "[c](../x.py)", "```",
    ]  # fmt: skip
    assert linked_files("docs/howto/cron.md", "[a](../../examples/batch.py)") == {
        "examples/batch.py"
    }
    assert rewritten("[a](promomsg/states.py) [b](docs/guide.md)", "README.md") == (
        "[a](../source/promomsg/states.py.md) [b](../guide.md)"
    )


def test_a_line_break_in_a_chinese_sentence_is_no_blank() -> None:
    text = "一个活动。\n这些人,\nabc\n\n- 一\n- 二\n```sh\n一\n二\n```\n"
    assert without_breaks(text) == "一个活动。这些人,\nabc\n\n- 一\n- 二\n```sh\n一\n二\n```\n"


def test_a_notebook_is_a_page_of_its_cells(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cells = [
        {"cell_type": "markdown", "source": ["# Sending\n", "from a notebook"]},
        {"cell_type": "code", "source": ["await promomsg.send()"], "outputs": []},
    ]
    (tmp_path / "a.ipynb").write_text(json.dumps({"cells": cells}), encoding="utf-8")
    monkeypatch.setattr(outside, "ROOT", tmp_path)
    text = outside.page_of("a.ipynb")
    assert "# Sending\nfrom a notebook\n" in text
    assert "````python\nawait promomsg.send()\n````\n" in text
