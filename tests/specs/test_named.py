"""Faults that are told by their name: what is said of each is true, and is not said of the faults nearest to it."""

import math
import re
from pathlib import Path

import numpy as np
import pytest

from keeprate.harness.protocol.lookup import find

MUTANTS = Path(__file__).parents[1] / "mutants"
plain = find(str(MUTANTS / "plain.py"), group="", kind="module")
mutation = find(str(MUTANTS.parent / "mutation.py"), group="", kind="module")
Plain, LIMIT = plain.Plain, plain.LIMIT
asking = find(str(Path(__file__).with_name("asking.py")), group="", kind="module")
SUITE, BY_NAME, said_of = asking.SUITE, asking.BY_NAME, asking.said_of


def in_groups(number, axis):
    """A backend that draws once for so many neighbours along an axis, counted anew in each."""

    def draw(self, shape, p):
        if len(shape) <= axis:
            return Plain.draw(self, shape, p)
        wide = list(shape)
        wide[axis] = -(-wide[axis] // number)
        return np.repeat(Plain.draw(self, tuple(wide), p), number, axis=axis).take(range(shape[axis]), axis=axis)

    return type("InGroups", (Plain,), {"draw": draw})


class InGroupsOfACall(Plain):
    """A number is drawn for each four of a call, whatever its shape."""

    def uniform(self, size):
        return np.repeat(super().uniform(-(-size // 4)), 4)[:size]


class OneForTheAxis(Plain):
    """One mask for all channels of a sample."""

    def draw(self, shape, p):
        return np.broadcast_to(super().draw((shape[0], 1, *shape[2:]), p), shape)


class LanesShare(Plain):
    """Of each eight entries the second four have the draws of the first."""

    def uniform(self, size):
        half = super().uniform(-(-size // 8) * 4).reshape(-1, 4)
        return np.concatenate([half, half], axis=1).reshape(-1)[:size]


GROUPS = (
    (in_groups(4, 1), "dropout2d", "uses each draw for 4 neighbouring channels of each sample"),
    (in_groups(2, 0), "feature_dropout", "uses each draw for 2 neighbouring samples of a batch"),
    (in_groups(8, 0), "dropout", "uses each draw for 8 neighbouring rows of a batch (axis 0)"),
    (in_groups(3, 2), "dropout", "uses each draw for 3 neighbours in each row"),
    (in_groups(2, 1), "dropout", "uses each draw for 2 neighbours along axis 1"),
    (in_groups(2, 0), "embedding_dropout", "uses each draw for 2 neighbouring rows"),
    (InGroupsOfACall, "dropout", "uses each draw for 4 neighbours"),
    (OneForTheAxis, "dropout2d", ""),
    (LanesShare, "dropout", ""),
    (Plain, "dropout2d", ""),
)


@pytest.mark.parametrize(("made", "op", "said"), GROUPS, ids=[f"{op}-{said or 'none'}" for _, op, said in GROUPS])
def test_neighbours_that_share_a_draw_are_told_by_what_they_are(made, op, said, fresh_seed):
    """Two of a few hundred agree in all of 12 calls by chance with a probability below 10⁻⁹."""
    assert said_of(made, op, "eager", ["shared_groups"], fresh_seed)[:1] == ([said] if said else [])


class ElementsInMemory(Plain):
    """Numbers are drawn for the elements that an input has in memory."""

    def mask(self, x, shape, p):
        steps = zip(shape, x.values.strides, strict=True)
        return np.broadcast_to(self.draw(tuple(length if step else 1 for length, step in steps), p), shape)


class CopiesExpanded(Plain):
    """Expanded inputs are copied, and half of them is dropped whatever p is."""

    def mask(self, x, shape, p):
        return self.draw(shape, 0.5 if 0 in x.values.strides else p)


EXPANDED = "uses one draw for all elements of an expanded input that are one in memory (stride 0)"
OF_EXPANDED = (
    (ElementsInMemory, "dropout", [EXPANDED]),
    (ElementsInMemory, "dropout2d", [EXPANDED]),
    (OneForTheAxis, "dropout2d", []),
    (in_groups(2, 0), "dropout", []),
    (CopiesExpanded, "dropout", []),
    (Plain, "dropout", []),
)


@pytest.mark.parametrize(("made", "op", "said"), OF_EXPANDED, ids=lambda one: getattr(one, "__name__", ""))
def test_an_expanded_input_is_told_where_a_copy_of_it_has_masks_of_its_own(made, op, said, fresh_seed):
    assert said_of(made, op, "eager", ["one_in_memory"], fresh_seed) == said


class Unwritten(Plain):
    """Kept entries alone are written, into memory that holds what was last made of its size."""

    def seed(self, value):
        super().seed(value)
        self.memory = {}

    def written_over(self, x, mask, made):
        values, slope = made
        before = self.memory.get(x.values.shape, np.zeros_like(values))
        self.memory[x.values.shape] = np.where(np.broadcast_to(mask, values.shape), values, before)
        return self.memory[x.values.shape], slope

    def scaled(self, x, mask, p):
        return self.written_over(x, mask, super().scaled(x, mask, p))

    def mapped(self, x, mask, p):
        return self.written_over(x, mask, super().mapped(x, mask, p))


class OutputsOfBefore(Plain):
    """Each second call returns what the one before of its shape did."""

    def seed(self, value):
        super().seed(value)
        self.memory = {}

    def scaled(self, x, mask, p):
        made = super().scaled(x, mask, p)
        before = self.memory.pop(x.values.shape, None)
        if before is None:
            self.memory[x.values.shape] = made[0]
        return (made[0] if before is None else before), made[1]


class DroppedReturned(Plain):
    """A dropped entry is its input."""

    def scaled(self, x, mask, p):
        values, slope = super().scaled(x, mask, p)
        return np.where(mask, values, x.values), slope


UNWRITTEN = "doesn't write dropped entries: they hold what was in memory before"
OF_UNWRITTEN = (
    (Unwritten, "dropout", [UNWRITTEN]),
    (Unwritten, "dropout2d", [UNWRITTEN]),
    (Unwritten, "alpha_dropout", [UNWRITTEN]),
    (OutputsOfBefore, "dropout", []),
    (DroppedReturned, "dropout", []),
    (Plain, "dropout", []),
    (Plain, "feature_alpha_dropout", []),
)


@pytest.mark.parametrize(("made", "op", "said"), OF_UNWRITTEN, ids=lambda one: getattr(one, "__name__", ""))
def test_entries_that_are_not_written_are_told_by_what_they_hold(made, op, said, fresh_seed):
    """At no p is more kept than should be, or another number of entries dropped."""
    assert said_of(made, op, "eager", ["unwritten", "mode_never", "constant_p", "unchanged"], fresh_seed) == said


class AlphaPrimeAtOne(Plain):
    """At p = 1 all is what a dropped entry is before scale and shift."""

    def all_dropped(self, x):
        return x.values * 0 - LIMIT, np.zeros_like(x.values)


class DoubledAtOne(Plain):
    """At p = 1 a result is twice its input."""

    def all_dropped(self, x):
        return x.values * 2, np.zeros_like(x.values)


def test_a_value_that_is_wrong_in_single_calls_is_told_beside_the_right_one(fresh_seed):
    """One value for all elements, or an example."""
    of_one = said_of(AlphaPrimeAtOne, "alpha_dropout", "eager", ["fact:endpoints"], fresh_seed)
    assert of_one == ["returns an output of −1.758, not of 0, at p = 1"]
    (of_many,) = said_of(DoubledAtOne, "dropout2d", "eager", ["fact:endpoints"], fresh_seed)
    assert re.fullmatch(r"returns an output that is wrong \(input \S+ gave \S+, PyTorch 0\) at p = 1", of_many)
    assert said_of(Plain, "alpha_dropout", "eager", ["fact:endpoints"], fresh_seed) == []


class FittedToInput(Plain):
    """Scale and shift keep the mean and variance of the input that is given."""

    def moments(self, x):
        return x.values.mean(dtype=np.float64), x.values.var(dtype=np.float64)

    def mapped(self, x, mask, p):
        if not x.values.size:
            return super().mapped(x, mask, p)
        self.mean, self.variance = self.moments(x)
        return super().mapped(x, mask, p)

    def affine(self, p, dtype):
        mean, variance = self.mean, self.variance
        a = math.sqrt(variance / ((1 - p) * (p * (LIMIT + mean) ** 2 + variance)))
        return a, mean - a * ((1 - p) * mean - p * LIMIT), -LIMIT


class FittedToItsMean(FittedToInput):
    """They keep the mean alone."""

    def moments(self, x):
        return x.values.mean(dtype=np.float64), 1.0


class ScaledByLargest(FittedToInput):
    """The scale is divided by the largest input."""

    def moments(self, x):
        return np.abs(x.values).max(), None

    def affine(self, p, dtype):
        a, b, d = Plain.affine(self, p, dtype)
        return a / self.mean, b, d


class InvertedAsWell(Plain):
    """Kept entries are divided by 1 − p, and then scaled and shifted."""

    def mapped(self, x, mask, p):
        divided = plain.Array(np.where(mask, plain.rounded(x.values / (1 - p), x.dtype), x.values), x.dtype)
        values, slope = super().mapped(divided, mask, p)
        return values, slope / (1 - p)


class ConstantsOfTwoDigits(Plain):
    """Alpha dropout's constant is rounded."""

    def affine(self, p, dtype):
        a = 1 / math.sqrt((1.76**2 * p + 1) * (1 - p))
        return a, 1.76 * a * p, -1.76


ON_TOP = "scales what it keeps by 1/(1 − p) on top of alpha dropout's a"
OF_ALPHA = (
    (FittedToInput, "computes alpha dropout's scale and shift for the mean and variance of each input"),
    (FittedToItsMean, "computes alpha dropout's scale and shift for the mean of each input"),
    (ScaledByLargest, "changes alpha dropout's scale a and dropped value with its input"),
    (InvertedAsWell, ON_TOP),
    (ConstantsOfTwoDigits, "takes 1.76 for alpha dropout's constant 1.7580993"),
    (Plain, ""),
)


@pytest.mark.parametrize("op", ["alpha_dropout", "feature_alpha_dropout"])
@pytest.mark.parametrize(("made", "said"), OF_ALPHA, ids=lambda one: getattr(one, "__name__", ""))
def test_numbers_of_alpha_dropout_are_told_by_what_they_follow(made, said, op, fresh_seed):
    found = said_of(made, op, "eager", ["limit", "alpha_of_input", "alpha_line"], fresh_seed)
    assert (found[0].partition(", not")[0].partition(":")[0] if found else "") == said
    assert all("with its input" not in one and "each input" not in one for one in found[1:])


def test_what_follows_the_input_is_the_same_for_the_same_values(fresh_seed):
    """Numbers that are drawn anew for each call are not of the input."""

    class Drawn(Plain):
        def affine(self, p, dtype):
            a, b, d = super().affine(p, dtype)
            return a * (1 + self.random.random()), b, d

    assert said_of(Drawn, "alpha_dropout", "eager", ["alpha_of_input"], fresh_seed) == []


def of_rows(again):
    """A backend whose mapped calls draw for row r from a state that `again` tells of r and the call."""

    class OfRows(Plain):
        calls = 0

        def vmap(self, fn):
            def mapped(x):
                started, rows = self.snapshot(), []
                self.calls += 1
                calls, key = self.calls, int(self.random.integers(1 << 60))
                for number, values in enumerate(x.values):
                    self.random = self.generator([key, again(number, calls)])
                    rows.append(fn(plain.Array(values, x.dtype)))
                self.restore(started)
                self.random.random()
                self.calls = calls
                slopes = [np.broadcast_to(row.slope, row.values.shape) for row in rows]
                return plain.Array(np.stack([row.values for row in rows]), rows[0].dtype, np.stack(slopes))

            return mapped

    return OfRows


MAPPED = (
    (of_rows(lambda row, call: row % 2), ["gives rows i and i + 2 of one mapped call the same mask"]),
    (of_rows(lambda row, call: row // 2), ["uses each mask for 2 rows of a mapped call in a row"]),
    (of_rows(lambda row, call: row % 3), ["gives rows i and i + 3 of one mapped call the same mask"]),
    (of_rows(lambda row, call: 0), []),
    (of_rows(lambda row, call: row), []),
    (of_rows(lambda row, call: row % 2 if call % 2 else row), []),
    (Plain, []),
)


@pytest.mark.parametrize(("made", "said"), MAPPED)
@pytest.mark.parametrize("op", ["dropout", "dropout2d"])
def test_rows_of_a_mapped_call_that_share_a_mask_are_told_by_their_distance(made, op, said, fresh_seed):
    assert said_of(made, op, "vmap", ["rows_alike"], fresh_seed) == said


def test_masks_that_come_again_in_mapped_calls_are_told_as_those_of_rows(fresh_seed):
    made = of_rows(lambda row, call: row % 2 if call % 2 else row)
    (said,) = said_of(made, "dropout", "vmap", ["alike_later"], fresh_seed)
    assert said.startswith("reuses masks of earlier rows: row 3 of mapped call 1 that of row 1 of mapped call 1,")


class RefusesEmpty(Plain):
    """A grid of no blocks can't be launched."""

    def mask(self, x, shape, p):
        if not x.values.size:
            raise RuntimeError("a grid of 0 blocks")
        return super().mask(x, shape, p)


@pytest.mark.parametrize("op", ["dropout2d", "alpha_dropout"])
def test_what_fails_on_empty_inputs_fails_there_with_a_gradient_too(op):
    request = mutation.asked_of(RefusesEmpty, op, "quick")
    asked = {text: one for text, one in request.promises.items() if one.id.family in ("shape", "gradient", "endpoints")}
    verdict = mutation.judged(RefusesEmpty, request.among(asked))
    assert verdict.causes[0].sentence.startswith("plain raises RuntimeError on empty inputs in training where")
    assert len(verdict.causes[0].explains) == len(verdict.failing) > 1


def at_least_one(axis, value):
    """A backend that sets one entry along an axis, or of a call, where all are otherwise."""

    def draw(self, shape, p):
        mask = Plain.draw(self, shape, p).copy()
        if not mask.size or not mask.ndim:
            return mask
        along = np.moveaxis(mask, axis, 0) if axis is not None and axis < mask.ndim else mask.reshape(-1)
        bare = (along != value).all(axis=0)
        along[self.random.integers(len(along))] ^= bare
        return mask

    return type("AtLeastOne", (Plain,), {"draw": draw})


class FirstKept(Plain):
    """The first channel is always kept."""

    def draw(self, shape, p):
        mask = super().draw(shape, p)
        mask[:, :1] = True
        return mask


class CappedAtHalf(Plain):
    """No more than half is dropped."""

    def draw(self, shape, p):
        return super().draw(shape, min(p, 0.5))


class PairsOpposed(Plain):
    """Of two channels one is kept where the other is dropped."""

    def draw(self, shape, p):
        mask = super().draw(shape, p)
        mask[:, 1::2] = ~mask[:, : mask.shape[1] // 2 * 2 : 2]
        return mask


NEVER_ALL = (
    (at_least_one(1, True), "feature_dropout", ["never drops all channels of a sample"]),
    (at_least_one(1, False), "dropout2d", ["never keeps all channels of a sample"]),
    (at_least_one(1, True), "dropout", ["never drops all entries of a row"]),
    (at_least_one(None, True), "dropout", ["never drops all entries of a call"]),
    (at_least_one(None, True), "alpha_dropout", ["never drops all entries of a call"]),
    (FirstKept, "feature_dropout", []),
    (CappedAtHalf, "feature_dropout", []),
    (PairsOpposed, "feature_dropout", []),
    (OneForTheAxis, "feature_dropout", []),
    (Plain, "feature_dropout", []),
    (Plain, "dropout", []),
)


@pytest.mark.parametrize(("made", "op", "said"), NEVER_ALL)
def test_what_is_never_dropped_or_kept_whole_is_told(made, op, said, fresh_seed):
    """Of 256 samples of three channels none is dropped whole by chance at p = 0.9 with a probability of 10⁻¹⁴⁵."""
    assert said_of(made, op, "eager", ["never_all_dropped", "never_all_kept"], fresh_seed) == said


class ClampedInfinities(Plain):
    """A result is clamped to the largest number, and its derivative is 0 where it was."""

    def scaled(self, x, mask, p):
        values, slope = super().scaled(x, mask, p)
        most = np.finfo(np.float32).max
        return np.clip(values, -most, most), slope * (np.abs(values) <= most)


class GradientByRatio(Plain):
    """The gradient is the cotangent times output over input."""

    def scaled(self, x, mask, p):
        values, _ = super().scaled(x, mask, p)
        return values, values / x.values


class NoneAtNaN(Plain):
    """NaN has no gradient."""

    def scaled(self, x, mask, p):
        values, slope = super().scaled(x, mask, p)
        return values, slope * ~np.isnan(x.values)


class NoneOfTheLarge(Plain):
    """Large outputs have no gradient, infinite or not."""

    def scaled(self, x, mask, p):
        values, slope = super().scaled(x, mask, p)
        return values, slope * (np.abs(values) < 8)


CLAMPED = "returns the largest finite number for a kept infinity, and a gradient of 0 where its input is"
OF_SPECIALS = (
    (ClampedInfinities, "feature_dropout", [f"{CLAMPED} not finite"]),
    (ClampedInfinities, "dropout", [f"{CLAMPED} infinite"]),
    (GradientByRatio, "dropout2d", ["returns a gradient of NaN where its input is not finite"]),
    (NoneAtNaN, "dropout2d", ["returns a gradient of 0 where its input is NaN"]),
    (NoneOfTheLarge, "dropout", []),
    (find(str(MUTANTS / "gradients.py"), group="", kind="module").ScaledByP, "dropout", []),
    (Plain, "dropout", []),
    (Plain, "alpha_dropout", []),
    (Plain, "feature_dropout", []),
    (Plain, "feature_alpha_dropout", []),
)


@pytest.mark.parametrize(("made", "op", "said"), OF_SPECIALS, ids=lambda one: getattr(one, "__name__", ""))
def test_gradients_that_are_wrong_at_infinities_alone_are_told(made, op, said, fresh_seed):
    assert said_of(made, op, "grad", ["of_specials"], fresh_seed) == said


class FirstNumbersOfSeeds(Plain):
    """Entry i has the first number of a congruential generator that is seeded with a number plus i."""

    def uniform(self, size):
        states = self.random.integers(1 << 32) + np.arange(size, dtype=np.uint64)
        return (states * np.uint64(1664525) + np.uint64(1013904223)) % 2**32 / 2**32


class FirstHalfKept(Plain):
    """The first half of a call is always kept."""

    def uniform(self, size):
        numbers = super().uniform(size)
        numbers[: size // 2] = 1
        return numbers


class RowsShare(Plain):
    """A mask has one entry for each row."""

    def draw(self, shape, p):
        return np.broadcast_to(super().draw((*shape[:-1], 1), p), shape)


@pytest.mark.parametrize("op", ["dropout", "alpha_dropout"])
def test_long_runs_are_told_where_they_end_anywhere(op, fresh_seed):
    (said,) = said_of(FirstNumbersOfSeeds, op, "eager", ["alike_first", "alike_later", "long_runs"], fresh_seed)
    length = int(re.search("of ([0-9,]+) on average", said)[1].replace(",", ""))
    assert 900 < length < 1400  # half of 1/0.00039; the ends of calls cut some off
    for made in (in_groups(32, 1), in_groups(64, 0), FirstHalfKept, RowsShare, OneForTheAxis, InGroupsOfACall, Plain):
        assert said_of(made, op, "eager", ["long_runs"], fresh_seed) == [], made


def of_first_size(least):
    """A backend whose compiled functions leave what is past the size of their first input, or some other size."""

    class OfFirstSize(Plain):
        limit = None

        def compile(self, fn):
            sizes = []

            def call(x, *more):
                sizes.append(x.values.size)
                self.limit = least or sizes[0]
                try:
                    return fn(x, *more)
                finally:
                    self.limit = None

            return call

        def scaled(self, x, mask, p):
            values, slope = super().scaled(x, mask, p)
            past = np.arange(x.values.size).reshape(x.values.shape) >= (self.limit or x.values.size)
            return np.where(past, x.values, values), np.where(past, np.float32(1), slope)

    return OfFirstSize


FIRST_GRID = "returns entries unchanged past as many as its first input had, when called again on a larger one"


@pytest.mark.parametrize("op", ["dropout", "dropout2d"])
def test_a_compiled_function_that_works_on_as_much_as_at_first_is_told(op, fresh_seed):
    assert said_of(of_first_size(0), op, "compile", ["first_grid"], fresh_seed) == [FIRST_GRID]
    for made in (of_first_size(300), LastRowReturned, Plain):
        assert said_of(made, op, "compile", ["first_grid"], fresh_seed) == []


class LastRowReturned(Plain):
    """The last row is returned as it was."""

    def scaled(self, x, mask, p):
        values, slope = super().scaled(x, mask, p)
        return np.concatenate([values[:-1], x.values[-1:]]), slope


class CopiesInEvaluation(Plain):
    """In evaluation, in place, a copy is returned."""

    def dropout_(self, x, p, train):
        y = super().dropout_(x, p, train)
        return y if train else plain.Array(y.values.copy(), y.dtype, y.slope)


def test_a_copy_that_evaluation_returns_is_told_as_one():
    assert cause_of(CopiesInEvaluation, "dropout_", "inplace") == (
        "plain returns a copy of its input in evaluation, not the array itself, in place, in dropout_."
    )


class ReadOffTheOutput(Plain):
    """The gradient takes for kept what is not zero in the output."""

    def scaled(self, x, mask, p):
        values, _ = super().scaled(x, mask, p)
        return values, (values != 0) / (1 - p)


def test_a_mask_that_is_read_off_the_output_is_told_before_the_rates_that_follow_from_it():
    laws = "gradient", "keep_rate", "data", "blocks", "neighbours"
    assert "takes the gradient's mask from which outputs are not 0" in cause_of(ReadOffTheOutput, "dropout", *laws)


def cause_of(made, op, *families):
    """The first sentence of a verdict over some laws."""
    request = mutation.asked_of(made, op, "quick")
    asked = {text: one for text, one in request.promises.items() if one.id.family in families}
    return mutation.judged(made, request.among(asked)).causes[0].sentence
