"""Whether a script shows a fault: what it prints is held against what the reference prints, in two fresh processes."""

import pytest

from keeprate.harness.commands.shown import beside, departing, departure
from keeprate.harness.protocol.suite import load_suite

SUITE = load_suite("dropout")
RATES = [[f"kept 0.{digits} of 1,000 entries (0.7, give or take 0.0145)", "done"] for digits in (701, 694, 712, 688)]


@pytest.mark.parametrize(
    ("lines", "shown"),
    [
        (["kept 0.699 of 1,000 entries (0.7, give or take 0.0145)", "done"], []),
        (["kept 0.73 of 1,000 entries (0.7, give or take 0.0145)", "done"], []),  # a range and a bit away
        (["kept 0.8 of 1,000 entries (0.7, give or take 0.0145)", "done"], [0]),
        (["kept 0.7 of 1,000 entries (0.7, give or take 0.0145)", "undone"], [1]),
        (["kept 0.7 of 1,000 entries (0.7, give or take 0.0145)"], []),  # of a backend that offers less
        (["done", "kept 0.7 of 1,000 entries (0.7, give or take 0.0145)"], []),
        (["kept nan of 1,000 entries (0.7, give or take 0.0145)", "done"], [0]),
    ],
)
def test_a_line_departs_where_words_differ_or_a_number_is_far_from_all_of_the_references(lines, shown):
    assert list(departing(lines, RATES)) == [lines[number] for number in shown]


def test_numbers_are_compared_to_the_precision_of_float32():
    once = [["became [1.4285714626] (1.42857146)"]]
    assert not list(departing(["became [1.4285715] (1.42857146)"], once))
    assert list(departing(["became [1.4285718] (1.42857146)"], once))


def test_where_no_reference_can_be_asked_nothing_departs():
    assert not list(departing(["anything"], []))


@pytest.mark.parametrize(
    ("script", "raised", "shown"),
    [
        ("print('off')", "", "shows: off"),
        ("print('as told')", "", ""),
        ("raise OverflowError('too few')", "OverflowError", "shows: OverflowError: too few"),
        ("raise OverflowError('too few')", "", ""),
        ("raise OverflowError('too few')", "KeyError", ""),
        ("import os; print('as told' if os.path.exists(__file__ + '.not') else 'off')", "", "shows: off"),
        ("import os; print('as told'); os._exit(7)", "code 7", "ends with exit code 7"),
        ("import os; os._exit(7)", "", ""),
        ("import os; os._exit(7)", "KeyError", ""),
        ("import os; os._exit(1)", "code 1", "ends with exit code 1"),
        (
            "import os; print('as told', flush=True); os._exit(0)",
            "code 0",
            "ends with exit code 0 before it has shown all",
        ),
        ("import sys; sys.exit('too few')", "code 1", "ends with exit code 1"),
        ("import os; os.abort()", "SIGABRT", "is ended by SIGABRT"),
        ("import os; os.kill(os.getpid(), 40)", "SIGSEGV", "is ended by signal 40"),
        ("raise OverflowError('too few')", "code 1", ""),
    ],
)
def test_a_script_shows_a_fault_if_it_does_so_on_its_own(script, raised, shown):
    assert departure(script, [["as told"]], raised) == shown


def test_the_reference_says_the_same_of_itself_with_another_seed():
    case = next(case for case in SUITE.cases("quick") if case.id == "dropout/masks/float32/p0.3/64x1024/eager")
    told = beside(SUITE, case, "keep_rate")
    assert len(told) == 6 and len({tuple(lines) for lines in told}) == 6
    assert not list(departing(told[0], told[1:]))  # five normal numbers and one more: about six standard deviations


def test_a_script_makes_the_call_that_was_recorded():
    case = SUITE.cases("quick")[0].replace(parameters={}, shape=(64, 1024))
    of = {"p": 0.25, "shape": (3, 5), "mode": "training"}
    assert SUITE.recorded(case, of) == case.replace(parameters={"p": 0.25}, shape=(3, 5))
    for none in ({}, {"p": 1.5}, {"p": "nan"}, {"shape": (0, 5)}, {"shape": ()}):
        assert SUITE.recorded(case, none) == case
