"""What a backend, a ledger or a verdict says, shown for real: in Markdown, HTML, on a terminal, to GitHub Actions.

It may say anything at all, and each of these has signs that it obeys. So a page with hostile words must be built as the
same page with a plain word is, and show the words.
"""

import io
import json
import random
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from markdown_it import MarkdownIt

from keeprate.harness.commands.console import console
from keeprate.harness.commands.github import commands, markdown
from keeprate.harness.commands.matrix import Row, text_of
from keeprate.harness.judging.gate import answer
from keeprate.harness.judging.request import ask
from keeprate.harness.judging.screen import show, verdict_text
from keeprate.harness.untrusted_text import (
    briefly,
    clean,
    code_block,
    first_line,
    for_html,
    for_markdown,
    for_terminal,
    github_error,
)
from keeprate.harness.workers.pool import InProcess
from keeprate.reports.pages import render

COIN = str(Path(__file__).parent / "harness" / "coin.py")
PLAIN = "word"
HOSTILE = [
    "a | b || c",
    "`code` ``` ```` ~~~ `",
    "```\n# heading",
    "<script>alert(1)</script><img src=x onerror=alert(1)> <!-- &amp; &#60; </pre></title></code></details>",
    "\"><svg onload='alert(1)'>",
    "![p](https://example.org/p.png) [l](javascript:alert(1)) ](javascript:alert(1)) [x]: y",
    "https://example.org HTTP://a.b www.example.org WWW.example.org <https://example.org> a@example.org",
    "**bold** *it* _it_ __b__ a_b ~~gone~~ $x^2$ \\ \\* &lt;",
    "# one\n\n> two\n- three\n+ four\n1. five\n=====\n---\n\n    six\n",
    "- item",
    "1) item",
    "---",
    "::error::pwned",
    "text\n  ::add-mask::text\n::stop-commands::x\r::warning::y",
    "##[error]pwned ##[add-mask]x",
    "100 %0A::error::%0D %25 title=a,b:c::",
    "\x1b[31mred\x1b]0;title\x07 \x9b31m \x08\x08",
    "\u202etxet\u202c \u2066a\u2069 \u200f \u2028 \u2029 \u0085",
    "nul \0 nul",
    "surrogate \ud800 \udcff",
    "[bold red]markup[/] [/] [link=https://example.org]x[/link] :bug: \\[bold]",
    "{{ 7 * 7 }} {% raw %} {0} %s",
    "x" * 100_000,
    "`|<[*_\x1b\u202e\n" * 10_000,
]

SIZE = 60_000  # signs of a page that shows such text a few times, cut each time


@pytest.fixture(params=HOSTILE, ids=[str(number) for number in range(len(HOSTILE))])
def hostile(request):
    return request.param


@pytest.fixture(scope="module")
def verdict():
    """Of a coin that fails by what it raises."""

    def toss(number, chance):
        raise RuntimeError(PLAIN)

    coin = SimpleNamespace(name=PLAIN, version=PLAIN, device=PLAIN, layout="channels_first", dtypes=("float32",))
    coin.asarray, coin.asnumpy, coin.dtype_of = np.asarray, np.asarray, lambda x: str(x.dtype)
    coin.seed, coin.toss = (lambda value: None), toss
    request = ask("coin", suite=COIN, profile="quick")
    found = answer(request, InProcess(coin, request.suite, request.names))
    assert not found.conforms
    return found


def saying(verdict, text):
    """The verdict with `text` in all that is foreign, past what cleans it where it comes in."""
    backend = verdict.backend | {"name": text, "version": text, "device": text}
    findings = [item.unfit(text) if item.status == "error" else item for item in verdict]
    return replace(verdict, backend=backend, findings=tuple(findings))


def printable(text):
    return all(sign.isprintable() or sign == "\n" for sign in text)


def built(text):
    """How GitHub's Markdown is built: its tokens without their words; and its words."""
    page = MarkdownIt("gfm-like", {"linkify": False, "html": True}).enable("table").parse(text)
    kinds = [(token.type, token.tag, token.content if token.type == "html_block" else "") for token in page]
    inner = [(child.type, child.tag) for token in page for child in token.children or () if child.type != "text"]
    words = [
        "".join(child.content for child in token.children) if token.children is not None else token.content
        for token in page
        if token.type in ("inline", "fence")
    ]
    return (kinds, inner), words


def in_one_line(text):
    return clean(" ".join(text.split()))


AROUND = ["{}", "a {}", "- {}", "> {}", "## {}", "| a |\n|---|\n| {} |", "a\n{}\nb"]


@pytest.mark.parametrize("around", AROUND)
def test_markdown_shows_it_as_text(hostile, around):
    shape, words = built(around.format(for_markdown(hostile)))
    assert shape == built(around.format(PLAIN))[0]
    assert any(in_one_line(hostile) in word for word in words)


def test_markdown_shows_any_mixture_of_signs_as_text(fresh_seed):
    draw = random.Random(fresh_seed)
    for _ in range(500):
        text = "".join(draw.choices("\\\\``**__[]()<>!&;~|#:/.-+=19ab'\" \n", k=draw.randint(1, 12))).strip() or PLAIN
        around = draw.choice(AROUND)
        shape, words = built(around.format(for_markdown(text)))
        assert shape == built(around.format(PLAIN))[0], (text, around)
        assert any(in_one_line(text) in word for word in words), (text, around)


def test_markdown_of_a_link_is_none_to_github_which_makes_them_of_words():
    """It looks for them in the source, where a backslash ends them: https://github.github.com/gfm/, 6.9."""
    text = for_markdown("https://example.org ftp://example.org www.example.org WWW.example.org")
    assert not re.search(r"[a-z]://|www\.", text, re.IGNORECASE)


def test_words_that_mean_nothing_to_markdown_stay_readable():
    text = "mine.py keeps 3 of 6 promises: first of all keep_rate, in dropout2d (p = 0.5); -0.5, +1 and 1.5 – 10 %!"
    assert for_markdown(text) == text


def test_a_block_of_code_shows_every_line_as_it_is(hostile):
    shape, (shown,) = built(code_block(hostile))
    assert shape == built(code_block(PLAIN))[0]
    assert printable(shown) and shown.count("\n") == hostile.count("\n") + 1


def test_the_summary_of_a_job_is_built_as_ever(verdict, hostile):
    text = markdown(saying(verdict, hostile))
    shape, words = built(text)
    assert shape == built(markdown(saying(verdict, PLAIN)))[0]
    assert any(in_one_line(hostile)[:100] in word for word in words)
    assert printable(text)


def test_a_table_of_backends_is_built_as_ever(hostile):
    def table(text):
        return text_of([Row(text, error=text), Row(text, text)], Path("m.md"), "quick", 1)

    assert built(table(hostile))[0] == built(table(PLAIN))[0]
    assert printable(table(hostile)) and len(table(hostile)) < SIZE


class Page(HTMLParser):
    """The tags of a page with their attributes' names, and its words."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.words = [], []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, *(name for name, _ in attrs)))

    def handle_endtag(self, tag):
        self.tags.append(f"/{tag}")

    def handle_comment(self, data):
        self.tags.append("comment")

    def handle_data(self, data):
        self.words.append(data)


def test_html_shows_it_as_text_in_an_element_and_in_an_attribute(hostile):
    page = Page(f'<p title="{for_html(hostile)}">{for_html(hostile)}</p>')
    assert page.tags == [("p", "title"), "/p"]
    assert "".join(page.words) == clean(hostile)


def put(document, text):
    """A document with `text` wherever its plain word was."""
    if isinstance(document, dict):
        return {key: put(value, text) for key, value in document.items()}
    if isinstance(document, list):
        return [put(value, text) for value in document]
    return text.join(document.split(PLAIN)) if isinstance(document, str) else document


def test_the_pages_of_a_report_are_built_as_ever(verdict, hostile):
    document = json.loads(saying(verdict, PLAIN).to_json())
    document["environment"]["platform"] = document["reference"]["name"] = document["reference"]["version"] = PLAIN
    document["reference"]["failures"] = [PLAIN, f"{PLAIN} {PLAIN}"]
    document["findings"][-1]["known"] = PLAIN
    for law in document["laws"].values():
        law["promise"] = PLAIN
    plain, pages = render(document, None), render(put(document, hostile), None)
    page = Page(pages["index.html"])
    assert page.tags == Page(plain["index.html"]).tags
    assert clean(hostile)[:1000] in " ".join(page.words)
    assert built(pages["report.md"])[0] == built(plain["report.md"])[0]
    for text in pages.values():
        assert printable(text)
        assert len(text) < 5 * SIZE


def obeyed(output):
    """The lines in which GitHub's runner reads a command: `::…::` begins them, or its older form is anywhere in them.

    Source: https://github.com/actions/runner/blob/main/src/Runner.Common/ActionCommand.cs
    """
    lines = re.split(r"\r\n|\r|\n", output)
    return [line for line in lines if re.match(r"\s*::.*::", line) or re.search(r"##\[.*\]", line)]


def test_an_annotation_is_one_line_and_one_command(hostile):
    line = github_error(f"keeprate: {hostile}", hostile)
    assert printable(line) and "\n" not in line
    title, text = re.fullmatch(r"::error title=([^:,]*)::(.*)", line).groups()
    assert not re.search("%(?!25|0A|3A|2C)", title + text)
    assert text.replace("%0A", "\n").replace("%25", "%") == clean(hostile, len(hostile))


def test_annotations_of_a_verdict_are_one_line_each(verdict, hostile):
    said = list(commands(saying(verdict, hostile)))
    assert said and all(len(obeyed(line)) == 1 for line in said)


def test_what_is_printed_is_printable_and_commands_nobody(verdict, hostile):
    found = saying(verdict, hostile)
    stream = io.StringIO()
    show(found, console(stream))
    for text in (verdict_text(found), stream.getvalue(), for_terminal(hostile)):
        assert printable(text)
        assert obeyed(text) == []


def test_what_is_printed_shows_markup_and_emoji_as_they_are(verdict):
    text = "[bold red]markup[/] :bug: [/]"
    stream = io.StringIO()
    show(saying(verdict, text), console(stream))
    for shown in (verdict_text(saying(verdict, text)), stream.getvalue()):
        assert text in " ".join(shown.split())


FRAMES = (
    r"\nException raised from f at /c10/Impl.cpp:3 (most recent call first):\nframe #0: f() + 0x9 (0x7f in /libc10.so)"
)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("one line", "one line"),
        ("where it was\n\nwhat it is\n", "what it is"),
        (
            f"call failed: got RuntimeError('no size{FRAMES}\\n')\n\nfrom user code:\n  f(x)\nSet VERBOSE=1",
            "RuntimeError: no size",
        ),
        ("it is no ValueError('x')", "it is no ValueError('x')"),
        (f"no size{FRAMES}".replace(r"\n", "\n"), "no size"),
    ],
)
def test_of_a_long_message_what_is_wrong_is_told_and_not_how_the_framework_came_there(text, told):
    assert briefly(OSError(text)).rstrip("\\n") == f"OSError: {told}"


def test_a_first_line_is_cut_between_words():
    said = first_line(ValueError(f"{'is not supported ' * 20}\nsecond line"))
    assert 180 < len(said) <= 200 and said.endswith((" is …", " not …", " supported …"))
