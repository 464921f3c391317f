"""Contexts: what a transform adds to."""

import pytest

from keeprate.specs.dropout.contexts import CONTEXTS
from keeprate.specs.transforms import within


@pytest.mark.parametrize("outer", [context.name for context in CONTEXTS])
def test_a_context_adds_to_a_plain_call_to_a_gradient_and_to_its_own_parts(outer):
    added_to = {"eager", "grad", outer, *outer.split("+")}
    every = {"eager", "grad", "thread", "fused", *(context.name for context in CONTEXTS)}
    assert {inner for inner in every if within(inner, outer)} == added_to


def test_neighbours_add_to_what_is_compiled_and_a_plain_call_adds_to_nothing():
    assert within("compile", "fused") and not within("fused", "compile") and not within("vmap", "fused")
    assert within("eager", "grad") and not within("grad", "eager") and not within("compile", "grad")
