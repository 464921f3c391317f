"""Where the next draws go."""

from hypothesis import given
from hypothesis import strategies as st

from harness.planner import Place, choose

PLACES = st.builds(Place, st.text(max_size=3), st.integers(0, 10**9), st.integers(0, 1000), st.booleans())


def test_what_was_never_looked_at_comes_before_all_else():
    fresh = Place("new", 10**9, 0)
    assert choose([Place("old", 1, 1, suspicious=True), fresh, Place("older", 1, 7)]) == fresh


def test_of_two_that_were_never_looked_at_the_cheaper_comes_first():
    assert choose([Place("dear", 100, 0), Place("cheap", 10, 0)]) == Place("cheap", 10, 0)


def test_what_is_least_resolved_comes_next():
    assert choose([Place("much", 10, 5), Place("little", 100, 3)]) == Place("little", 100, 3)


def test_a_suspicious_case_is_drawn_four_times_as_often():
    places = {"calm": Place("calm", 10, 1), "odd": Place("odd", 10, 1, suspicious=True)}
    drawn = []
    for _ in range(500):
        place = choose(places.values())
        drawn.append(place.case)
        places[place.case] = Place(place.case, 10, place.passes + 1, suspicious=place.suspicious)
    assert abs(drawn.count("odd") - 400) <= 4


def test_nothing_to_draw_is_no_place():
    assert choose([]) is None


@given(st.lists(PLACES, min_size=1))
def test_the_choice_is_one_of_the_places_and_does_not_depend_on_the_others_behind_it(places):
    chosen = choose(places)
    assert chosen in places
    assert choose([chosen, *places]) == chosen
