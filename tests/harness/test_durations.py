"""How long cases took: the slowest of them in words, each study in the public JSON."""

import re

from keeprate.harness.judging.durations import by_study, slowest
from keeprate.harness.judging.request import ask
from keeprate.harness.protocol.engine import Result

SLOW = """
import importlib.util, os, time
spec = importlib.util.spec_from_file_location("coins", {coins!r})
coins = importlib.util.module_from_spec(spec)
spec.loader.exec_module(coins)

class Slow(coins.Fair):
    def spin(self, number, chance):
        time.sleep(0.1 * (chance == 0.25))
        return super().spin(number, chance)

class Dying(coins.Fair):
    def toss(self, number, chance):
        if chance == 0.25:
            time.sleep(1)
            os._exit(9)
        return super().toss(number, chance)
"""
ROW = re.compile(r"^ +(\d+\.\d\d) s  (\S+)$", re.MULTILINE)


def gate(kind, folder, coin, coins, *options):
    (folder / "slow.py").write_text(SLOW.format(coins=coins), encoding="utf-8")
    words = ["--backend", f"slow.py:{kind}", "--suite", coin, "--profile", "quick", "--json", "v.json", "-n", "1"]
    return ["gate", *words, *options]


def test_the_slowest_cases_stand_above_the_table_and_the_verdict_is_last(keeprate, tmp_path, coin, coins, verdict):
    run = keeprate(*gate("Slow", tmp_path, coin, coins, "--durations", 3))
    assert run.code == 0, run.out + run.err
    assert "the slowest 3 of 4 cases:\n" in run.out
    rows = ROW.findall(run.out)
    assert len(rows) == 3
    assert rows[0][1] == "spin/throws/float32/p0.25/-/eager"
    assert [seconds for seconds, _ in rows] == sorted((seconds for seconds, _ in rows), key=float, reverse=True)
    assert run.out.index(rows[-1][1]) < run.out.index("operator") < run.out.index("CONFORMS  coin keeps")
    assert verdict(tmp_path / "v.json")["run"]["studies"].keys() == {"throws"}


def test_zero_shows_every_case_and_nothing_is_shown_unasked(keeprate, tmp_path, coin, coins):
    assert len(ROW.findall(keeprate(*gate("Slow", tmp_path, coin, coins, "--durations", 0)).out)) == 4
    assert "slowest" not in keeprate(*gate("Slow", tmp_path, coin, coins)).out


def test_a_case_that_took_its_process_down_took_time(keeprate, tmp_path, coin, coins, verdict):
    run = keeprate(*gate("Dying", tmp_path, coin, coins, "--durations", 1))
    assert run.code == 1
    ((seconds, case),) = ROW.findall(run.out)
    assert case == "toss/throws/float32/p0.25/-/eager"
    assert float(seconds) >= 1
    assert verdict(tmp_path / "v.json")["run"]["studies"]["throws"] >= 1


def test_studies_have_the_time_of_both_sides_the_longest_first():
    plan = ask("mine.py", profile="quick").plan
    cases = {case.study: case for promise in plan.values() for case in promise.cases}
    one, other = list(cases)[:2]
    results = [
        Result("backend", cases[one].id, seconds=1.0),
        Result("backend", cases[other].id, seconds=0.5),
        Result("reference", cases[other].id, seconds=1.25),
        Result("backend", cases[one].id, error="given up"),
    ]
    studies = by_study(results, plan)
    assert list(studies.items()) == [(other, 1.75), (one, 1.0)]
    head, number, *rows, _ = slowest(results, studies, 2)
    assert (head, number) == (f"seconds of workers by study: {other} 1.75, {one} 1.00", "the slowest 2 of 4 cases:")
    assert rows == [f"     1.25 s  {cases[other].id} of the reference", f"     1.00 s  {cases[one].id}"]
    assert by_study([Result("backend", cases[one].id)], plan) == {}
    assert list(slowest([], {}, 3)) == []
