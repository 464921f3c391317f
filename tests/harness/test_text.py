"""What a failure says: promise, effect, evidence, and how to run it again, in 80 columns."""

import io
import re
import shlex
import subprocess
from dataclasses import replace

import pytest
from rich.console import Console
from rich.table import Table

from keeprate.harness.evidence.check import Check, failed, passed
from keeprate.harness.evidence.kinds import plain
from keeprate.harness.evidence.tally import Tally
from keeprate.harness.judging.diagnosis import Cause
from keeprate.harness.judging.finding import decide, unjudged
from keeprate.harness.judging.gate import Docket, conclude, no_verdict
from keeprate.harness.judging.known import Deviation, Known
from keeprate.harness.judging.request import Request, ask
from keeprate.harness.judging.screen import cause_text, failure_text, show, verdict_text
from keeprate.harness.judging.text import WIDTH, millions, table
from keeprate.harness.protocol.backend import Offer
from keeprate.harness.protocol.engine import Result
from keeprate.harness.protocol.suite import load_suite

SUITE = load_suite("dropout")
OFFER = Offer("mine", "1.0", "cpu", ("float32", "bfloat16"), ("dropout", "feature_alpha_dropout"))
WIDE = 1_000_000


def request(**options):
    return ask("mine.py", profile="quick", seed=2**63 - 1, **options)


def off_by(promise, part):
    """Evidence of a departure, whatever the law."""
    if not promise.share:
        return failed(65536, 65536, call="training", first="0.5 at (0, 0) gave 1.0989401", PyTorch="kept 0.6226132")
    kept = round(WIDE * (0.7 + part))
    return Tally(("kept", "dropped"), (kept, WIDE - kept), (0.7, 0.3), departure="rate")


def concluded(asked, results, run):
    docket = Docket(asked.given(OFFER, OFFER))
    for result in results:
        docket.add(result)
    return conclude(docket, run, isolated=True, whole=False)


@pytest.fixture(scope="module")
def everything_broken():
    """The verdict over a backend that breaks every promise of two operators, and lacks the others."""
    asked = request(ops=[*OFFER.names, "dropout2d"], dtypes=OFFER.dtypes)
    results = {}
    for text, promise in asked.promises.items():
        for case in promise.cases:
            for role, part in (("backend", 0.05), ("reference", 0.0)):
                evidence = results.setdefault((role, case.id), {})
                faithful = role == "reference" and not promise.share
                evidence[text] = passed() if faithful else off_by(promise, part)
    found = [Result(role, case, evidence) for (role, case), evidence in results.items()]
    return concluded(asked, found, {"seconds": 1234.5, "workers": 2})


def rows(text):
    """The labelled lines of a failure."""
    return dict(re.findall(r"^  (\w+) {2,}(\S.*)$", text, re.MULTILINE))


def test_what_is_remarked_of_many_findings_is_told_once_and_breaks_nothing():
    asked = request(ops=OFFER.names, dtypes=["float32"])
    asked = asked.among(
        {text: one for text, one in asked.promises.items() if text.endswith("/seeding/float32/-/-/eager")}
    )
    seen = Check(1, 1, remark="seeds with the same low 32 bits give the same mask")
    found = [
        Result(role, case.id, dict.fromkeys(case.findings, seen + passed()))
        for promise in asked.promises.values()
        for case in promise.cases
        for role in ("backend", "reference")
    ]
    verdict = concluded(asked, found, {"seconds": 1.0, "workers": 1})
    assert verdict.conforms
    told = [line for line in verdict_text(verdict).splitlines() if line.startswith("remarked: ")]
    assert told == ["remarked: 2 findings, seeds with the same low 32 bits give the same mask"]


def test_every_line_of_a_broken_verdict_fits_80_columns(everything_broken):
    text = verdict_text(everything_broken)
    assert "BROKEN  dropout/" in text
    assert "not implemented: " in text
    assert [line for line in text.splitlines() if len(line) > WIDTH] == []


def too_long(text, id):
    """Lines over 80 columns; an id cannot be broken, so a line that holds nothing else may be as long as it must."""
    alone = {f"BROKEN  {id}", f"ERROR   {id}", f"    {id} \\"}
    return [line for line in text.splitlines() if len(line) > WIDTH and line not in alone]


def test_every_finding_of_the_plan_fails_within_80_columns():
    asked = ask("mlx", profile="quick", seed=2**63 - 1, alpha=1e-5)
    for text, promise in asked.promises.items():
        reason = "the worker was ended by SIGSEGV " * 5
        finding = replace(unjudged(promise, "error", reason), replay=asked.replay(text))
        message = failure_text(finding, [], SUITE.by_name[promise.id.family])
        assert text in message
        assert too_long(message, text) == []
        assert len(text) > 70 or all(len(line) <= WIDTH for line in message.splitlines())


@pytest.mark.parametrize("law", SUITE.by_name)
def test_a_broken_promise_is_told_within_80_columns(law):
    asked = ask("mlx", profile="quick", seed=2**63 - 1, alpha=1e-5)
    text = max((text for text, promise in asked.promises.items() if promise.id.family == law), key=len)
    promise = asked.promises[text]
    message = failure_text(decide_on(asked, promise, off_by(promise, 0.05)), [], SUITE.by_name[law])
    assert message.startswith(f"BROKEN  {text}\n")
    assert too_long(message, text) == []


def decide_on(asked: Request, promise, evidence):
    results = {case.id: Result("backend", case.id, {str(promise.id): evidence}) for case in promise.cases[:1]}
    finding = decide(promise, results, asked.alpha)
    return replace(finding, replay=asked.replay(finding.id))


def test_a_statistical_failure_says_what_was_promised_and_seen(everything_broken):
    (finding,) = (item for item in everything_broken if item.id == "dropout/keep_rate/float32/p0.3/64x1024/eager")
    text = failure_text(finding, everything_broken.findings, SUITE.by_name["keep_rate"])
    lines = text.splitlines()
    assert lines[0] == f"BROKEN  {finding.id}"
    assert lines[2] == "  An entry is kept with probability 1 − p."
    found = rows(text)
    assert found["promised"] == "0.7"
    low, high = map(float, re.search(r"between (\S+) and (\S+), in 1,000,000 draws", found["seen"]).groups())
    assert found["seen"].startswith("0.75 ")
    assert 0.7 < low < 0.75 < high
    assert text.index("off by     +0.05 ") < text.index("evidence   log10 e = ")
    assert f"broken from {finding.effect.threshold_log10_e:.1f} on" in found["evidence"]
    assert "p0.5" in found["elsewhere"]
    assert found["often"].startswith("a mask drawn in a narrow dtype")
    assert text.index("promised") < text.index("evidence") < text.index("elsewhere") < text.index("often")
    assert text.rstrip().endswith(f"--backend mine.py --seed {2**63 - 1} --profile quick")
    assert "passes" not in text  # the command repeats all of it


def test_a_p_value_too_small_for_a_number_is_not_zero():
    (finding,) = broken("dropout/keep_rate/float32/p0.3/64x1024/eager")
    assert finding.effect.p_value == 0
    assert rows(failure_text(finding, [], SUITE.by_name["keep_rate"]))["evidence"].endswith(" on; p < 1e-300")


@pytest.mark.parametrize(("number", "text"), [(1.34, "1.3"), (99.6, "100"), (12_345.0, "12,000"), (0.0123, "0.012")])
def test_a_ratio_has_no_power_of_ten(number, text):
    assert plain(number) == text


def test_what_broke_elsewhere_stands_together():
    place = "dropout/keep_rate/{}/p{}/64x1024/eager"
    (finding,) = broken(place.format("float32", 0.3))
    others = broken(place.format("float16", 0.3), place.format("float32", 0.9))
    kept = [
        replace(item, status="kept") for item in broken(place.format("bfloat16", 0.3), place.format("float32", 0.1))
    ]
    text = failure_text(finding, [*others, finding, *kept], SUITE.by_name["keep_rate"])
    assert rows(text)["elsewhere"] == "kept in bfloat16, at p0.1; broken in float16, at p0.9"


@pytest.mark.parametrize(("workers", "words"), [(1, "with 1 worker"), (2, "with 2 workers")])
def test_one_worker_is_one(everything_broken, workers, words):
    verdict = replace(everything_broken, run={"seconds": 3.0, "workers": workers})
    assert " ".join(verdict_text(verdict).split()).count(f", 3 s {words} BROKEN") == 1


@pytest.mark.parametrize(("count", "text"), [(0, "-"), (33_600, "33,600"), (133_600, "0.1 M")])
def test_draws_are_told_in_thousands_or_millions(count, text):
    assert millions(count) == text


def test_a_deterministic_failure_shows_its_first_counterexample(everything_broken):
    (finding,) = (item for item in everything_broken if item.id == "dropout/outcomes/float32/p0.1/64x1024/eager")
    found = rows(failure_text(finding, everything_broken.findings, SUITE.by_name["outcomes"]))
    assert found["wrong"] == "65,536 of 65,536 (100 %)"
    assert found["first"] == "0.5 at (0, 0) gave 1.0989401"
    assert found["PyTorch"] == "kept 0.6226132"
    assert "seen" not in found


@pytest.mark.parametrize(
    "backend", ["mlx", "mine.py", "my folder/it's mine.py:Object", "/a/very/long/path/" + "to/some/place/" * 8 + "b.py"]
)
def test_the_printed_command_is_one_that_a_shell_understands(backend):
    asked = ask(backend, profile="quick", seed=2**63 - 1, alpha=1e-5)
    for text in ("dropout/keep_rate/float32/p0.3/64x1024/eager", max(asked.promises, key=len)):
        finding = decide_on(asked, asked.promises[text], off_by(asked.promises[text], 0.05))
        message = failure_text(finding, [], SUITE.by_name[finding.law.partition(":")[0]])
        command = message[message.index("keeprate replay") :].replace("keeprate", "printf '%s\\n'", 1)
        words = subprocess.check_output(["/bin/sh", "-c", command], text=True).splitlines()
        assert words == shlex.split(finding.replay)[1:]
        assert words[:4] == ["replay", text, "--backend", backend]
        assert words[4:] == ["--seed", str(2**63 - 1), "--profile", "quick", "--alpha", "1e-05"]


def test_failures_of_a_law_are_grouped_and_the_rest_is_counted(everything_broken):
    text = verdict_text(everything_broken)
    shown = re.findall(r"^BROKEN  (\S+/\S+)$", text, re.MULTILINE)
    laws = [id.split("/")[1].partition(":")[0] for id in shown]
    assert laws
    assert len(set(laws)) == len(laws)
    assert re.search(r"and +\d+ more findings of this law, in dropout and feature_alpha_dropout", text)
    counted = dict(re.findall(r"(\w+)\s+\((\d+)\)", text[text.index("Broken as well:\n") :].partition("\n\n")[0]))
    broken = [finding for finding in everything_broken if finding.status == "broken"]
    for law in SUITE.by_name:
        number = sum(finding.law.partition(":")[0] == law for finding in broken)
        assert law in laws or counted.get(law, "0") == str(number)
    assert len(text.splitlines()) < 150


def test_each_law_that_is_only_counted_has_a_finding_to_replay(everything_broken):
    text = verdict_text(everything_broken)
    told = text[text.index("Broken as well:\n") :].partition("\n\n")[0]
    listed = dict(re.findall(r"^  (\w+) \(\d+\)\s+(\S+)$", told, re.MULTILINE))
    assert len(listed) > 10
    by_id = {finding.id: finding for finding in everything_broken}
    assert all(by_id[id].law.partition(":")[0] == law for law, id in listed.items())
    number = sum(finding.fails for finding in everything_broken)
    how = f"To see all {number:,}, add --seed {2**63 - 1} --json verdict.json to the gate, then keeprate report"
    assert f"{how} --json verdict.json --out report" in " ".join(text.split())


def test_a_failure_that_stands_alone_is_all_there_is_to_see():
    asked = request(ops=["dropout"], dtypes=["float32"])
    promise = asked.promises["dropout/keep_rate/float32/p0.3/64x1024/eager"]
    found = [
        Result(role, promise.cases[0].id, {str(promise.id): off_by(promise, part)})
        for role, part in (("backend", 0.05), ("reference", 0.0))
    ]
    text = verdict_text(concluded(asked.among({str(promise.id): promise}), found, {}))
    assert "BROKEN  dropout/keep_rate" in text
    assert "To see all" not in text


def broken(*ids):
    """Findings that broke, with evidence where the law is statistical."""
    asked = ask("mine.py", profile="quick", seed=7)
    return [decide_on(asked, asked.promises[text], off_by(asked.promises[text], 0.05)) for text in ids]


def families(findings):
    return replace(no_verdict(request(), ""), findings=tuple(findings)).families


def test_what_is_told_and_in_which_order_stands_in_the_json(everything_broken):
    public = everything_broken.public()
    findings = {finding["id"]: finding for finding in public["findings"]}
    ranked = sorted((item for item in findings.values() if item["rank"]), key=lambda item: item["rank"])
    assert [item["rank"] for item in ranked] == list(range(1, len(everything_broken.failing) + 1))
    assert [item["id"] for item in ranked] == [finding.id for finding in everything_broken.failing]
    laws = [item["law"].partition(":")[0] for item in ranked]
    assert [findings[lead]["law"].partition(":")[0] for lead in public["leads"]] == list(dict.fromkeys(laws))
    text = " ".join(verdict_text(everything_broken).split())
    assert public["sentence"] in text
    for label, said in findings[public["leads"][0]]["rows"]:
        assert f"{label} {' '.join(said.split())}" in text


def test_what_is_wrong_comes_before_what_could_not_be_read_for_it():
    rate, wrong = broken("dropout/keep_rate/float32/p0.3/64x1024/eager", "dropout/purity/float32/-/64x1024/eager")
    assert list(families([replace(rate, status="error", evidence=None), wrong])) == ["purity", "keep_rate"]


@pytest.mark.parametrize(
    ("ids", "order"),
    [
        (  # the backward mask is `out != 0`: the masks of gradients follow from it
            [
                "dropout/keep_rate/-/-/128x130/grad",
                "dropout/blocks:4/-/-/128x130/grad",
                "dropout/gradient/-/-/-/compile",
                "dropout/gradient/-/-/128x130/grad",
            ],
            ["gradient", "keep_rate", "blocks"],
        ),
        (  # a rate that is off is not explained by what breaks under a transform
            ["dropout/outcomes/-/-/-/checkpoint", "dropout/keep_rate/float32/p0.3/64x1024/eager"],
            ["keep_rate", "outcomes"],
        ),
        (
            ["dropout/blocks:4/float32/-/64x1024/eager", "dropout/keep_rate/float32/p0.3/64x1024/eager"],
            ["keep_rate", "blocks"],
        ),
    ],
)
def test_causes_come_before_what_follows_from_them(ids, order):
    found = families(broken(*ids))
    assert list(found) == order
    assert found[order[0]][0].context in ("grad", "eager")  # its plainest finding is the one that is shown


def test_a_verdict_ends_with_itself(everything_broken):
    last = verdict_text(everything_broken).strip().splitlines()[-2:]
    assert last[0].startswith("BROKEN  mine keeps 0 of ")


def test_every_law_states_its_promise_in_a_sentence_of_its_own():
    promises = [law.promise for law in SUITE.by_name.values()]
    assert len(set(promises)) == len(promises)
    for law in SUITE.by_name.values():
        assert re.fullmatch(r"[A-Z].*\.", law.promise)
        assert law.source
        assert law.catches
        assert law.blind_to


def test_a_known_deviation_is_listed_without_its_failure():
    asked = request(ops=["dropout"], dtypes=["float32"])
    asked = replace(asked, known=Known((Deviation("*", "we know"),)))
    promise = asked.promises["dropout/keep_rate/float32/p0.3/64x1024/eager"]
    found = [
        Result(role, promise.cases[0].id, {str(promise.id): off_by(promise, part)})
        for role, part in (("backend", 0.05), ("reference", 0.0))
    ]
    text = verdict_text(concluded(asked.among({str(promise.id): promise}), found, {}))
    assert "CONFORMS" in text
    assert "known deviation: dropout/keep_rate/float32/p0.3/64x1024/eager (we know)" in text
    assert "BROKEN" not in text
    assert [line for line in text.splitlines() if len(line) > WIDTH] == []


def test_a_table_folds_in_a_narrow_terminal():
    lines = [("operator", "kept", "broken"), ("feature_alpha_dropout", "415", "0"), ("dropout", "398", "2")]
    assert isinstance(table(lines, 40), Table)
    assert table(lines, 30).splitlines() == [
        "feature_alpha_dropout",
        "  415 kept",
        "  0 broken",
        "dropout",
        "  398 kept",
        "  2 broken",
    ]


def cut(text, width=40):
    """Lines of prose that are longer than `width` though they could be wrapped: an id stays whole, and a command."""
    long = [line for line in text.partition("\n  keeprate ")[0].splitlines() if len(line) > width]
    return [line for line in long if max(map(len, line.split())) <= width - 13]


def test_prose_is_wrapped_at_the_width_of_a_narrow_terminal(everything_broken):
    out = io.StringIO()
    show(everything_broken, Console(file=out, width=40, color_system=None, emoji=False), failures=False)
    assert out.getvalue() and cut(out.getvalue()) == []
    first = everything_broken.failing[0]
    assert cut(failure_text(first, everything_broken.findings, SUITE.by_name[first.family], 40)) == []
    cause = Cause(
        "fault", "", "mine does what no backend should ever do, in dropout.", "seen " * 20, (first.id,), ("10" * 38,)
    )
    text = cause_text(cause, everything_broken, 40)
    assert cut(text) == [] and "  picture    ▌" in text
    assert max(map(len, cause_text(cause, everything_broken).splitlines())) <= WIDTH
    assert cut(cause_text(cause, everything_broken)) != []  # at 80 columns it is as wide as before


@pytest.mark.parametrize("columns", [40, 80])
@pytest.mark.parametrize("words", [["explain", "keep_rate"], ["explain", "streams"], ["gate", "--backend", "nobody"]])
def test_a_command_wraps_what_it_says_at_the_width_that_it_is_given(console_script, columns, words, monkeypatch):
    monkeypatch.setenv("COLUMNS", str(columns))
    done = console_script(*words)
    said = done.out + done.err
    assert cut(said, columns) == []
    assert max(map(len, said.splitlines())) > columns - 15
