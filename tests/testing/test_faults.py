"""Faults of every day fail in smoke, each by the law that is meant for it; and what they are made of is sound."""

import pytest
from faults import FAULTS, sound

from keeprate.testing import assert_dropout, score


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_of_every_day_fails_by_its_law(name, fresh_seed):
    fn, like, law = FAULTS[name]
    found = score(fn, like, on="torch", profile="smoke", seed=fresh_seed)
    assert found["verdict"] == "broken", found["sentence"]
    assert law in found["broken"], found["text"]
    assert "BROKEN" in found["text"].splitlines()[0] or "ERROR" in found["text"].splitlines()[0]


def test_what_the_faults_are_made_of_is_sound(fresh_seed):
    assert_dropout(sound, on="torch", seed=fresh_seed)
