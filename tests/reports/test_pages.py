"""What the pages say, and what they never do: fetch, run scripts, or trust a name."""

import copy
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import jsonschema
import numpy as np
import pytest

from keeprate.harness.commands.recomputed import recomputed
from keeprate.harness.protocol.suite import load_suite
from keeprate.reports.comparison import compare
from keeprate.reports.pages import render
from keeprate.reports.reading import Reading

SCHEMA = json.loads((Path(__file__).parents[2] / "harness" / "verdict.schema.json").read_text(encoding="utf-8"))
LARGEST = 1_500_000  # bytes of a page, for 4,000 findings
VOID = {"meta", "link", "br", "wbr", "hr", "img", "input", "path", "use", "rect"}


class Page(HTMLParser):
    """Tags, attributes and ids of a page, and its text."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.ids, self.links, self.words = [], [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        values = dict(attrs)
        self.ids += [values["id"]] if "id" in values else []
        self.links += [values["href"]] if tag == "a" else []
        assert not [name for name in values if name.startswith("on")], tag

    def handle_data(self, data):
        self.words.append(data)

    @property
    def text(self):
        words = " ".join(" ".join(self.words).split())
        return re.sub(r"(\d{4}-\d\d-\d\d) (?=[,;:.])", r"\1", words)  # a date is an element of its own


def page(document, against=None):
    return Page(render(document, against)["index.html"])


@pytest.fixture(autouse=True)
def _outside_of_ci(monkeypatch):
    for name in ("GITHUB_RUN_ID", "CI_JOB_URL"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(params=["faithful", "turned", "edge", "gated"])
def document(documents, gated, request):
    return {**documents, "gated": gated}[request.param]


def test_what_a_ledger_tells_is_public_json(document):
    jsonschema.Draft202012Validator(SCHEMA).validate(document)


def test_the_page_needs_nothing_from_anywhere_and_runs_nothing(document):
    text = render(document, None)["index.html"]
    assert set(re.findall(r"\b(?:https?:)?//[^\s\"'<)]+", text)) <= {
        "http://www.w3.org/2000/svg",
        "http://www.w3.org/1999/xlink",
    }
    assert not {"script", "iframe", "object", "embed", "form", "base"} & set(Page(text).tags)
    assert "default-src 'none'" in text
    assert "url(" not in re.sub(r"url\(#\w+\)", "", text)


@pytest.mark.parametrize("compared", [False, True])
def test_every_link_leads_somewhere_and_no_id_comes_twice(document, documents, gated, compared):
    other = gated if document is documents["faithful"] else documents["faithful"]  # with findings of its own
    found = page(document, other if compared else None)
    assert len(set(found.ids)) == len(found.ids)
    assert found.links
    assert {link.removeprefix("#") for link in found.links} <= set(found.ids)


def test_plots_have_text(documents, gated):
    text = render(documents["faithful"], None)["index.html"]
    plots = re.findall(r"<svg.*?</svg>", text, re.DOTALL)
    assert len(plots) == 3  # nights, p-values, speed
    more = re.findall(r"<svg.*?</svg>", render(gated, None)["index.html"], re.DOTALL)
    assert any("mathdefault" in plot or "log₁₀" in plot for plot in more) and "mathdefault" not in str(more)
    for plot in (*plots, *more):
        assert 'role="img"' in plot
        assert len(re.search(r"<title>(.*?)</title>", plot)[1]) > 40


def test_the_first_words_are_the_verdict(documents):
    said = {name: page(document).text for name, document in documents.items()}
    assert (
        "✓ conforms coin keeps 6 of 6 promises. A backend that keeps every promise is called broken" in said["faithful"]
    )
    assert "at most once in a million — over all nights of this version together" in said["faithful"]
    assert re.search(
        r"✕ broken coin breaks fair, in toss: 0.5\d+ seen, 0.5 promised, in float32 p0.5. "
        r"New: broken since 1, first on [\d-]+; kept until then, over 2 nights. coin keeps 4 of 6 promises.",
        said["turned"],
    )
    assert re.search(
        r"✕ broken coin breaks lands, in toss: [\d,]+ of [\d,]+ wrong, in float32. Broken from", said["edge"]
    )


def test_what_is_new_since_last_night_is_said(documents):
    assert re.search(r"Compared with the night before, [\d-]+: nothing is new\.", page(documents["faithful"]).text)
    turned = page(documents["turned"]).text
    new = (
        r"Compared with the night before, [\d-]+: 1 law newly broken without a known cause\. 2 findings stand otherwise"
    )
    assert re.search(new, turned)
    assert "✕ broken toss/fair/float32/p0.5/-/eager , was kept" in turned
    assert re.search(r"first broken [\d-]+, in 1 ", turned)
    assert "The first night in this ledger: there is nothing to compare it with." in page(documents["edge"]).text


def test_what_failed_is_told_in_the_order_of_its_ranks(documents):
    document = copy.deepcopy(documents["turned"])
    one, other, third = (finding for finding in document["findings"] if finding["op"] == "toss")
    for rank, finding in enumerate((third, one, other), start=1):
        finding.update(status="broken", rank=rank)
    document["leads"] = [one["id"], third["id"], "no/such/finding/-/-/-"]
    assert [item["id"] for item in Reading(document).failing] == [third["id"], one["id"], other["id"]]
    assert [item["id"] for item, _ in Reading(document).leading] == [third["id"], one["id"]]


def test_one_exception_over_many_findings_is_told_once_and_counted_as_errors(documents):
    document = copy.deepcopy(documents["turned"])
    for finding in document["findings"]:
        if finding["op"] == "toss" and finding["status"] == "broken":
            finding.update(status="error", detail={"reason": "toss raised KeyError: 'heads'"})
            finding.update(dict.fromkeys(("log10_e", "threshold_log10_e", "n", "estimate"), None))
    said = "coin ends in an error, in toss: KeyError: 'heads'."
    assert page(document).text.count(f"! error {said}") == 1
    markdown = render(document, None)["report.md"]
    assert said in markdown
    assert "| operator | kept | broken | errors | known | not judged |" in markdown
    assert "| toss | 1 | 0 | 2 | 0 | 0 |" in markdown and "| spin | 3 | 0 | 0 | 0 | 0 |" in markdown


def test_a_broken_promise_is_told_in_full(documents):
    text = page(documents["turned"]).text
    for words in (
        "A coin falls on heads as often as it says.",
        "promised 0.",
        "broken from",
        "often a bent coin",
        "keeprate replay toss/fair/float32/p0.",
        "times what would still be caught",
        "of this law 2 of 2 broken findings",
        "What is broken stays so for this version in this ledger, and is not drawn again.",
    ):
        assert words in text
    edge = page(documents["edge"]).text
    assert "stands on its edge" in edge and re.search(r"wrong \d+ of [\d,]+", edge)
    assert "unreadable" in edge


def test_a_sum_over_nights_is_said_where_one_pass_is_run_again(documents, gated):
    words = "The evidence is the sum of all passes of {}; this command makes one pass, which may not show it."
    assert words.format("3 runs") in page(documents["turned"]).text
    assert words.format("1 run") in page(documents["edge"]).text
    assert "this command makes one pass" not in page(gated).text
    one_gate = copy.deepcopy(documents["edge"])
    one_gate["ledger"]["runs"][0]["kind"] = "gate"
    assert "this command makes one pass" not in page(one_gate).text


def test_a_broken_promise_has_a_picture_of_real_masks(gated):
    text = render(gated, None)["index.html"]
    shown = re.findall(r'<svg class="mask".*?</svg>', text)
    assert len(shown) == 2  # of the one cause
    first = gated["pictures"]["dropout/neighbours:1/float32/-/64x1024/eager"]
    assert first["width"] == 64 and len(first["backend"]) == len(first["reference"]) == 32
    assert len(json.dumps(first)) < 2000
    fours = [set(row) <= set("0f") for row in first["backend"]]
    assert all(fours)  # four neighbours are one draw: a hexadecimal digit
    assert not any(set(row) <= set("0f") for row in first["reference"])
    told = gated["causes"][0]["explains"]  # the first of these that has one
    first = next(gated["pictures"][text] for text in told if text in gated["pictures"])
    rows = [f"{int(row, 16):0{4 * len(row)}b}"[: first["width"]] for row in first["backend"]]
    drawn = next(plot for plot in shown if f" {sum(row.count('1') for row in rows):,} of " in plot)
    squares = {
        (int(x) + step, int(y)) for x, y, n in re.findall(r"M(\d+) (\d+)h(\d+)", drawn) for step in range(int(n))
    }
    assert squares == {(x, y) for y, row in enumerate(rows) for x, bit in enumerate(row) if bit == "1"}


def test_causes_and_what_laws_catch_are_told(gated):
    text = page(gated).text
    assert "uses each draw for 4 neighbours" in text and gated["causes"][0]["id"] == "shared_groups:4"
    mutants = len(load_suite("dropout").causes)
    assert f"{mutants} of them by kind" in text
    assert gated["laws"]["neighbours"]["faults"]["correlated"] >= 1
    assert sum(gated["faults"].values()) == mutants
    assert "uses each draw for 4 neighbours" in render(gated, None)["report.md"]


def test_known_deviations_are_told_with_their_reasons(documents):
    document = copy.deepcopy(documents["turned"])
    for finding in document["findings"]:
        finding["known"] = "we knew" if finding["op"] == "spin" else None
        if finding["status"] == "broken":
            finding.update(known="we <b>know</b>", rank=None)
    document["mended"] = [finding["id"] for finding in document["findings"] if finding["op"] == "spin"]
    text, markdown = page(document).text, render(document, None)["report.md"]
    assert "~ 2 known deviations" in text
    assert "~ seen we <b>know</b>: toss/fair/float32/p0.5/-/eager and 1 more" in text
    assert "✓ no longer seen: take it off the list we knew: spin/fair/float32/p0.5/-/eager and 2 more" in text
    assert text.index("~ seen we <b>know</b>") < text.index("Every law, for every operator")
    assert r"- we \<b\>know\</b\>: toss/fair/float32/p0.5/-/eager and 1 more" in markdown
    assert "### Known deviations that are no longer seen\n\n- we knew: spin/" in markdown


def test_a_finding_has_its_history_over_versions(documents):
    document = copy.deepcopy(documents["turned"])
    then = {"version": "0.9", "device": "thumb", "profile": "gate", "night": "2026-01-02", "status": "kept"}
    then |= {"n": 2_000_000, "log10_e": -1.25, "estimate": 0.500123}
    document["ledger"]["before"] = {finding["id"]: [then] for finding in document["findings"]}
    document["ledger"]["others"] = [{"name": "dice", "version": "6", "last": "2026-01-03", "runs": 3}]
    jsonschema.Draft202012Validator(SCHEMA).validate(document)
    text = page(document).text
    assert "in 0.9 kept, 0.500123 seen in 2 M draws, log₁₀ e = −1.25; last on 2026-01-02, gate" in text
    assert "The ledger also holds dice 6 (last on 2026-01-03): keeprate report --backend shows one of them." in text
    assert "The ledger also holds dice 6." in render(document, None)["report.md"]


def test_what_waits_is_not_called_not_offered(documents):
    document = copy.deepcopy(documents["faithful"])
    document["findings"] = [
        item for item in document["findings"] if item["op"] != "spin" or "/lands/" not in item["id"]
    ]
    assert "waiting" not in page(document).text and "so far" not in page(document).text
    document["ledger"] |= {"waiting": {"spin/lands": 1, "spin/fair": 3}}
    jsonschema.Draft202012Validator(SCHEMA).validate(document)
    text = page(document).text
    assert "lands ✓ kept 1 … waiting 1" in text and "… conforms so far 4 wait" in text and "✓ kept 2 , … 3" in text
    assert "wait to be looked at 4 promises" in text
    assert render(document, None)["index.html"].count('class="is-partly"') == 1
    markdown = render(document, None)["report.md"]
    assert "| broken | known | not judged | waiting |\n|---|--:|--:|--:|--:|--:|\n" in markdown
    assert "| spin | 2 | 0 | 0 | 0 | 4 |" in markdown
    assert 'class="badge conforms"' not in render(document, None)["index.html"]  # nor in its green
    for text in render(document, None).values():
        assert "Waiting: nothing was drawn so far of 4 promises." in text


def test_what_nobody_looked_at_has_no_column_and_a_line(documents):
    document = copy.deepcopy(documents["faithful"])
    document["findings"] = [item for item in document["findings"] if item["op"] != "spin"]
    document["ledger"] |= {"waiting": {"spin/lands": 1, "spin/fair": 2}, "asked": {"ops": ["toss"], "dtypes": []}}
    jsonschema.Draft202012Validator(SCHEMA).validate(document)
    html, text = render(document, None)["index.html"], page(document).text
    assert re.findall(r'<th scope="col">(\w+)</th>', html[html.index('"matrix"') :])[0] == "toss"
    assert ">spin</th>" not in html and "Nothing was looked at so far of spin (3 wait)." in text
    assert "This night was asked for toss, and for nothing else." in text
    document["ledger"]["asked"] = {"ops": [], "dtypes": ["float32"]}
    assert "This night was asked for all operators in float32, and for nothing else." in page(document).text


def test_what_was_never_asked_for_is_named_once_and_the_page_is_not_green_about_it(documents):
    document = copy.deepcopy(documents["faithful"])
    document["findings"] = [item for item in document["findings"] if item["op"] != "spin"]
    document["ledger"]["unasked"] = [{"op": "spin", "dtypes": [], "whole": True}]
    document = recomputed(document)
    jsonschema.Draft202012Validator(SCHEMA).validate(document)
    pages, text = render(document, None), page(document).text
    assert text.count("spin") == 1 == text.count("Never asked for, so neither judged nor waiting: spin.")
    assert document["sentence"] == "coin keeps 3 of 3 promises asked for." and text.count(document["sentence"]) == 2
    assert "✓ conforms, as far as asked" in text and 'class="badge conforms"' not in pages["index.html"]
    assert "to be looked at" not in text and pages["report.md"].count("spin") == 1


def test_each_line_of_the_chart_has_a_colour_a_sign_and_a_name(documents):
    document = copy.deepcopy(documents["turned"])
    point = document["ledger"]["laws"]["fair"]
    document["ledger"]["laws"] = {
        f"law{number}": [{**one, "part": 0.1 * number} for one in point] for number in range(7)
    }
    html = render(document, None)["index.html"]
    chart = html[html.index('id="nights"') :].partition("</section>")[0]
    colours = dict(re.findall(r"fill: var\(--(\w+)\)[^>]*>[●■▲◆▼] (law\d)<", chart))
    assert colours == {"one": "law6", "two": "law5", "three": "law4", "four": "law3", "five": "law2"}
    assert "the other 2 are grey" in chart


def test_no_line_breaks_a_date_apart(documents):
    html = render(documents["turned"], None)["index.html"]
    lede = re.search(r'<p class="lede">.*', html)[0]
    assert re.search(r'first on <span class="date">[\d-]{10}</span>;', lede)
    assert re.search(r'<b>Compared with the night before, <span class="date">', html)


def test_a_date_that_a_clock_was_ahead_with_is_marked(documents):
    document = copy.deepcopy(documents["turned"])
    first = document["ledger"]["origins"][0]["first"]
    document["ledger"]["ahead"] = [first]
    assert f"first broken {first} (a clock was ahead) , in 1" in page(document).text


def test_what_was_broken_in_a_ledger_that_was_merged_is_called_history(documents):
    document = copy.deepcopy(documents["faithful"])
    first = document["findings"][0]["id"]
    once = [{"id": one, "night": "2026-01-02", "log10_e": 9.5} for one in (first, first.replace("toss", "spin"))]
    document["ledger"]["once_broken"] = once
    jsonschema.Draft202012Validator(SCHEMA).validate(document)
    said = f"on 2026-01-02, but not by all evidence: {first} and 1 more. In a ledger that was merged"
    assert said in page(document).text and said in render(document, None)["report.md"]


def test_what_was_not_judged_is_said(documents):
    document = copy.deepcopy(documents["faithful"])
    for finding in document["findings"]:
        if finding["op"] == "spin":
            finding.update(status="not_implemented", detail={"reason": "the backend has no spin"})
            finding.update(
                dict.fromkeys(
                    (
                        "statistic",
                        "p_value",
                        "log10_e",
                        "threshold_log10_e",
                        "n",
                        "estimate",
                        "expected",
                        "interval",
                        "detectable",
                    )
                )
            )
    assert "Not implemented, and so not judged: spin." in page(document).text


def test_a_comparison_says_what_changed_first(documents):
    text = page(documents["turned"], documents["faithful"]).text
    assert text.index("Compared with coin 1, conforms") < text.index("What broke")
    assert "2 newly broken; 4 findings stand as they stood." in text
    assert "2 mended; 4 findings stand as they stood." in page(documents["faithful"], documents["turned"]).text
    assert "nothing changed; 6 findings stand" in page(documents["faithful"], documents["faithful"]).text


def test_what_is_accepted_is_not_mended(documents):
    accepted = copy.deepcopy(documents["turned"])
    for finding in accepted["findings"]:
        finding["known"] = "we know"
    text = page(accepted, documents["turned"]).text
    assert "2 now known; 4 findings stand as they stood." in text
    assert "Now known: 2" in text and "toss/fair/float32/p0.5/-/eager : broken → known" in text
    unread = copy.deepcopy(documents["faithful"])
    for finding in unread["findings"]:
        finding["status"] = "unreadable"
    assert "6 otherwise" in compare(Reading(unread), Reading(documents["turned"])).sentence


def test_markdown_has_the_verdict_and_what_broke(documents):
    text = render(documents["turned"], None)["report.md"]
    assert text.startswith("## ✕ coin breaks fair, in toss: 0.5") and "coin keeps 4 of 6 promises." in text
    assert "| toss/fair/float32/p0.5/-/eager | 0.5" in text
    assert "| toss | 1 | 2 | 0 | 0 |" in text
    assert render(documents["faithful"], None)["report.md"].startswith("## ✓ coin keeps 6 of 6 promises.")


def test_each_law_that_broke_has_a_row_before_a_law_has_two(documents):
    document = copy.deepcopy(documents["turned"])
    patterns = {item["law"]: item for item in document["findings"] if item["op"] == "toss"}
    document["findings"] = []
    for number in range(40):
        for law in ("fair", "lands") if number == 39 else ("fair",):
            finding = copy.deepcopy(patterns[law])
            finding.update(status="broken", id=f"toss/{law}/float32/p0.5/{number}/compile", context="compile")
            document["findings"].append(finding)
            finding["rank"] = len(document["findings"])
    document["leads"] = [document["findings"][number]["id"] for number in (0, -1)]
    found = re.findall(r"^\| toss/(\w+)/", render(document, None)["report.md"], re.MULTILINE)
    assert len(found) == 20 and found.count("lands") == 1
    assert "and 21 more" in render(document, None)["report.md"]


def test_four_thousand_findings_fit_on_a_page(documents, gated):
    """Whatever the history is: every list as long as its schema or what `tell` gives allows, no two figures alike."""
    document = copy.deepcopy({**gated, "ledger": documents["turned"]["ledger"]})
    patterns, random, document["findings"] = document["findings"], np.random.default_rng(), []
    for number in range(4000):
        finding = copy.deepcopy(patterns[number % len(patterns)])
        finding["op"] = f"operator_{number // 400}"
        parts = finding["id"].split("/")
        finding["id"] = "/".join([finding["op"], *parts[1:4], f"{number}x{parts[4]}", parts[5]])
        for name in ("estimate", "expected", "detectable", "log10_e", "threshold_log10_e", "p_value"):
            if finding[name] is not None:
                finding[name] = float(f"{finding[name] * random.uniform(0.5, 1):.6g}")
        document["findings"].append(finding)
    document["leads"] = list(
        {item["law"].partition(":")[0]: item["id"] for item in document["findings"] if item["rank"]}.values()
    )
    ledger, ids = document["ledger"], [finding["id"] for finding in document["findings"]]
    nights = [f"2026-{1 + number // 28:02}-{1 + number % 28:02}" for number in range(60)]
    point = {"status": "kept", "n": 10**9, "log10_e": 1.2345, "estimate": 0.500123}
    ledger["history"] = {
        text: [{**point, "night": night, "log10_e": round(random.normal(), 6)} for night in nights]
        for text in ids[:1000]
    }
    then = {"version": "0.31.0.dev20260101+abcdef", "device": "Device(gpu, 0)", "profile": "gate", "night": nights[0]}
    ledger["before"] = {text: [{**point, **then}] * 8 for text in ids[:1000]}
    ledger["laws"] = {
        law: [{"night": night, "part": round(random.uniform(-0.3, 0.9), 4)} for night in nights]
        for law in document["laws"]
    }
    ledger["runs"] = [{**ledger["runs"][-1], "night": night} for night in nights] * 16
    ledger["versions"] = ledger["versions"] * 1000
    ledger["changes"] = [{"id": text, "before": "kept", "now": "broken"} for text in ids]
    ledger["others"] = [{"name": "x" * 50, "version": "1", "last": nights[0], "runs": 3}] * 100
    jsonschema.Draft202012Validator(SCHEMA).validate(document)
    text = render(document, document)["index.html"]
    assert text.count("<tr>") >= 4000
    assert len(text.encode()) < LARGEST


def test_a_gate_without_laws_or_headline_is_shown_too(documents):
    document = {key: value for key, value in documents["turned"].items() if key not in ("ledger", "laws", "headline")}
    jsonschema.Draft202012Validator(SCHEMA).validate(document)
    assert "profile quick" in page(document).text


def test_a_run_that_could_not_begin_says_why(documents):
    document = {key: value for key, value in documents["faithful"].items() if key != "ledger"}
    document |= {
        "findings": [],
        "verdict": "none",
        "sentence": "No verdict: nothing was judged.",
        "run": {"error": "backend x can't be loaded"},
    }
    jsonschema.Draft202012Validator(SCHEMA).validate(document)
    text = page(document).text
    assert "No verdict: nothing was judged." in text and "backend x can't be loaded" in text


def test_a_link_to_the_run_of_ci_is_of_this_machine_and_of_no_file(documents, monkeypatch):
    for name, value in (("SERVER_URL", "https://github.com"), ("REPOSITORY", "a/b"), ("RUN_ID", "17")):
        monkeypatch.setenv(f"GITHUB_{name}", value)
    assert "https://github.com/a/b/actions/runs/17" in page(documents["faithful"]).links
    monkeypatch.setenv("GITHUB_SERVER_URL", "javascript:alert(1)//")
    assert "alert" not in render(documents["faithful"], None)["index.html"]


@pytest.mark.parametrize("alpha", [1e-6, 1e-3, 0.01])
def test_the_promise_is_put_in_words(documents, alpha):
    chance = Reading({**documents["faithful"], "alpha": alpha}).chance
    assert chance == {1e-6: "once in a million", 1e-3: "once in a thousand"}.get(alpha, "with probability 0.01")
