"""Where the next draws go."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keeprate.harness.ledger.agenda import EXACT, Place, choose

PLACES = st.builds(
    Place, st.text(max_size=3), st.integers(0, 10**9), st.integers(0, 1000), st.floats(0, 1e3), st.booleans()
)


def spent(places, seconds):
    """Seconds by case, when that many are spent on statistical cases."""
    places, found = {place.case: place for place in places}, dict.fromkeys((place.case for place in places), 0.0)
    while sum(found.values()) < seconds:
        place = choose(places.values())
        found[place.case] += place.seconds
        places[place.case] = Place(place.case, place.draws, place.passes + 1, place.seconds, place.suspicious)
    return found


def test_what_was_never_looked_at_comes_before_all_else():
    fresh = Place("new", 10**9, 0)
    assert choose([Place("old", 1, 1, 1.0, suspicious=True), fresh, Place("older", 1, 7)]) == fresh
    assert choose([Place("old", 1, 1, 1.0)], [Place("exact", 1, 1), fresh], 0.0) == fresh


def test_of_two_that_were_never_looked_at_the_cheaper_comes_first():
    assert choose([Place("dear", 100, 0), Place("cheap", 10, 0)]) == Place("cheap", 10, 0)


def test_of_equal_speed_what_is_least_resolved_comes_next():
    assert choose([Place("much", 10, 50, 0.1), Place("little", 100, 3, 1.0)]) == Place("little", 100, 3, 1.0)


def test_what_was_never_timed_is_timed():
    assert choose([Place("timed", 10, 5, 1e-6), Place("unknown", 10, 5)]) == Place("unknown", 10, 5)


@pytest.mark.parametrize("times", [2, 5, 20])
def test_seconds_go_where_they_resolve_most(times):
    """The sum of √draws is greatest where each case has draws as the square of its speed: seconds as its speed."""
    speeds = {"slow": 1e6, "fast": times * 1e6}
    found = spent([Place(name, round(speed / 100), 1, 0.01) for name, speed in speeds.items()], 100)
    assert found["fast"] / found["slow"] == pytest.approx(times, rel=0.05)
    best = sum(math.sqrt(found[name] * speed) for name, speed in speeds.items())
    for part in (0.1, 0.3, 0.5, 0.7, 0.9, 0.99):
        assert math.sqrt(100 * part * speeds["slow"]) + math.sqrt(100 * (1 - part) * speeds["fast"]) <= best * 1.001


def test_a_suspicious_case_gets_four_times_the_draws():
    found = spent([Place("calm", 10**6, 1, 0.1), Place("odd", 10**6, 1, 0.1, suspicious=True)], 100)
    assert found["odd"] / found["calm"] == pytest.approx(4, rel=0.05)


def test_exact_cases_have_a_part_of_the_night_and_the_rest_where_there_is_nothing_else():
    places, exact = [Place("random", 10**6, 5, 0.1)], [Place("seen", 1, 9), Place("rarely seen", 1, 2)]
    assert choose(places, exact, EXACT / 2) == exact[1]
    assert choose(places, exact, EXACT) == places[0]
    assert choose([], exact, 1.0) == exact[1]


def test_nothing_to_draw_is_no_place():
    assert choose([]) is None


@given(st.lists(PLACES, min_size=1))
def test_the_choice_is_one_of_the_places_and_does_not_depend_on_the_others_behind_it(places):
    chosen = choose(places)
    assert chosen in places
    assert choose([chosen, *places]) == chosen
