"""Faults of every day fail in smoke, each by the law that is meant for it, with its cause in the first sentence;
and what they are made of is sound."""

import random
from pathlib import Path

import pytest

from keeprate.harness.protocol.lookup import find
from keeprate.testing import assert_dropout, score

FAULTS = find(str(Path(__file__).with_name("faults.py")), group="", kind="module")
NAMES = list(FAULTS.FAULTS)
HALF = -(-len(NAMES) // 2)


@pytest.mark.parametrize("names", [NAMES[number::HALF] for number in range(HALF)], ids="-".join)
def test_a_fault_of_every_day_fails_by_its_law(names, fresh_seed):
    """One of two, drawn afresh."""
    name = random.choice(names)
    print(name)
    fn, like, law, cause = FAULTS.FAULTS[name]
    found = score(fn, like, on="torch", profile="smoke", seed=fresh_seed)
    assert found["verdict"] == "broken", found["sentence"]
    assert law in found["broken"], found["text"]
    assert cause in " ".join(found["text"].partition("\n\n")[0].split())


def test_what_the_faults_are_made_of_is_sound(fresh_seed):
    assert_dropout(FAULTS.sound, on="torch", seed=fresh_seed)
