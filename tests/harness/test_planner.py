"""Where the next draws go."""

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keeprate.harness.ledger.places import EXACT, STALE, Place, Places, _gain

PLACES = st.builds(
    Place,
    *(st.sampled_from("abcdefgh"), st.integers(0, 10**9), st.integers(0, 1000), st.floats(0, 1e3)),
    *(st.booleans(), st.booleans()),
)


def choose(places, part=1.0):
    every = Places()
    for place in places:
        every.put(place)
    return every.first(part)


def spent(places, seconds):
    """Seconds by case, when that many are spent on statistical cases."""
    every, found = Places(), dict.fromkeys((place.case for place in places), 0.0)
    for place in places:
        every.put(place)
    while sum(found.values()) < seconds:
        place = every.first(1.0)
        found[place.case] += place.seconds
        every.put(replace(place, passes=place.passes + 1))
    return found


def test_what_was_never_looked_at_comes_before_all_else():
    fresh = Place("new", 10**9, 0)
    assert choose([Place("old", 1, 1, 1.0, suspicious=True), fresh, Place("older", 1, 7)]) == fresh
    assert choose([Place("old", 1, 1, 1.0), Place("exact", 1, 1, exact=True), replace(fresh, exact=True)], 0.0).exact


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
    place, exact = (
        Place("random", 10**6, 5, 0.1),
        [Place(name, 1, n, exact=True) for name, n in (("seen", 9), ("new", 2))],
    )
    assert choose([place, *exact], EXACT / 2) == exact[1]
    assert choose([place, *exact], EXACT) == place
    assert choose(exact, 1.0) == exact[1]


def test_nothing_to_draw_is_no_place():
    assert choose([]) is None


@given(st.lists(PLACES | st.sampled_from("abcdefgh")), st.floats(0, 1))
def test_the_choice_is_that_of_a_look_at_every_place_however_often_they_change(changes, part):
    every, now = Places(), {}
    for change in changes:
        if isinstance(change, str):
            every.drop(change)
            now.pop(change, None)
        else:
            every.put(change)
            now[change.case] = change
        chosen = every.first(part)
        assert (chosen and worth(chosen)) == max(map(worth, among(now.values(), part)), default=None)


def among(places, part):
    """Those of which the next one is."""
    if fresh := [place for place in places if not place.passes]:
        return fresh
    exact = [place for place in places if place.exact]
    random = [place for place in places if not place.exact]
    return exact if exact and (part < EXACT or not random) else random


def worth(place):
    if not place.passes:
        return (-place.draws,)
    return (-place.passes, -place.draws) if place.exact else (_gain(place),)


def test_what_no_longer_holds_takes_no_memory():
    every = Places()
    for passes in range(10_000):
        every.put(
            Place("one", 10**6, passes, 1 / (passes + 1))
        )  # ever better: what held before never comes to the head
        every.put(Place("other", 10**6, passes, 1 / (passes + 1)))
    assert sum(map(len, every._lines.values())) <= 2 * STALE + 1
