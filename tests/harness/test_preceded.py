"""An error that depends on what ran before: its replay says so, and runs it after the same cases."""

import shlex

import pytest


@pytest.fixture
def ended(keeprate, coin, coins):
    """The replay line of the first finding that a gate of one worker ends in an error, once it was run."""

    def run(kind):
        words = ["--backend", f"{coins}:{kind}", "--suite", coin, "--profile", "quick", "-n", "1"]
        out = keeprate("gate", *words, "--seed", "7").out
        (_, command) = out.replace("\\\n", " ").split("  keeprate replay ", 1)
        words = shlex.split(command.splitlines()[0])
        assert words[-1] == "--was-error"
        return keeprate("replay", *words)

    return run


def test_a_replay_that_does_not_repeat_an_error_runs_it_after_the_same_cases(ended):
    run = ended("WornOut")
    said = " ".join(run.out.split())
    assert run.code == 1, run.err
    assert "it depends on what ran before. After 1 case of spin in float32 that a gate runs before it" in said
    assert "error, spin raised OverflowError: worn out" in said


def test_what_other_operators_cause_is_said_to_be_none_of_these(ended):
    run = ended("Dizzy")
    said = " ".join(run.out.split())
    assert run.code == 0, run.err
    assert "kept So it is none of these. Left are other operators, other dtypes" in said


def test_a_replay_that_repeats_an_error_looks_no_further(ended):
    run = ended("Raising")
    assert run.code == 1 and "depends on what ran before" not in run.out
