"""Faults as strangers write them: each is named, and nothing else is."""

import math
import threading
from pathlib import Path

import numpy as np
import pytest

from keeprate.harness.protocol.engine import Job, run
from keeprate.harness.protocol.lookup import find
from keeprate.harness.protocol.suite import load_suite
from keeprate.specs.accounts import names_of
from keeprate.specs.dropout.contracts import CONTRACTS
from keeprate.specs.dropout.hypotheses import every, places
from keeprate.specs.dropout.hypotheses.clues import standard

MUTANTS = Path(__file__).parents[1] / "mutants"
plain = find(str(MUTANTS / "plain.py"), group="", kind="module")
Plain, rounded, LIMIT = plain.Plain, plain.rounded, plain.LIMIT
mutation = find(str(MUTANTS.parent / "mutation.py"), group="", kind="module")
SUITE = load_suite("dropout")


class TailUnwritten(Plain):
    """Works on vectors of four; what is left over is never written."""

    def draw(self, shape, p):
        mask = super().draw(shape, p).reshape(-1)
        mask[mask.size // 4 * 4 :] = False
        return mask.reshape(shape)


class TailCopied(Plain):
    """Works on vectors of eight; what is left over is copied."""

    def scaled(self, x, mask, p):
        values, noise = super().scaled(x, mask, p)
        rest = x.values.size // 8 * 8
        return np.append(values.ravel()[:rest], x.values.ravel()[rest:]).reshape(values.shape), noise


class RowsEndCopied(Plain):
    """A loop over scaled values ends one entry before its row does."""

    def scaled(self, x, mask, p):
        values, noise = super().scaled(x, mask, p)
        return np.concatenate([values[..., :-1], x.values[..., -1:]], axis=-1), noise


class LastOfRowForgotten(Plain):
    """A loop ends one entry before its row does."""

    def draw(self, shape, p):
        mask = super().draw(shape, p)
        mask[..., -1] = True
        return mask


class TwoReplicas(Plain):
    """Both halves of a call come from generators that were seeded alike."""

    def uniform(self, size):
        half = super().uniform(-(-size // 2))
        return np.concatenate([half, half])[:size]


class OppositeHalves(Plain):
    """The second half of a call is the first turned round."""

    def uniform(self, size):
        half = super().uniform(-(-size // 2))
        return np.concatenate([half, 1 - half])[:size]


class FusedRelu(Plain):
    """A relu was left in the kernel."""

    def scaled(self, x, mask, p):
        values, noise = super().scaled(x, mask, p)
        return np.maximum(values, 0), noise


class Overlapping(Plain):
    """A call begins with the last three draws of the one before."""

    last = np.zeros(0)

    def uniform(self, size):
        numbers = np.concatenate([self.last, super().uniform(size)])[:size]
        self.last = numbers[-3:]
        return numbers


class WrongWayRound(Plain):
    """The training flag is the wrong way round."""

    def apply(self, x, p, train, inplace, shape_of_mask, formula):
        return super().apply(x, p, not train, inplace, shape_of_mask, formula)


class SeedXorCall(Plain):
    """Call c after seed s is drawn from s ^ c."""

    def seed(self, value):
        super().seed(value)
        self.value, self.calls = value or 0, 0

    def uniform(self, size):
        self.random, self.calls = self.generator(self.value ^ self.calls), self.calls + 1
        return super().uniform(size)


class StaleMask(Plain):
    """The backward pass takes the mask that it finds in its workspace, which the call before has left there."""

    last = None

    def scaled(self, x, mask, p):
        values, _ = super().scaled(x, mask, p)
        before, self.last = self.last, mask
        found = mask if before is None or before.shape != mask.shape else before
        return values, found * rounded(self.scale(p, x.dtype), x.dtype)


class ByRatio(Plain):
    """The gradient is the cotangent times output over input, and 0 where that is no number."""

    def scaled(self, x, mask, p):
        values, _ = super().scaled(x, mask, p)
        return values, np.where(x.values == 0, 0, values / np.where(x.values == 0, 1, x.values))


class WholeScale(Plain):
    """The scale is a whole number."""

    def scale(self, p, dtype):
        return int(1 / (1 - p))


class ScaleOfRoundedP(Plain):
    """The scale is that of p with one decimal."""

    def scale(self, p, dtype):
        return 1 / max(1e-9, 1 - round(p, 1))


class SignLost(Plain):
    """The kernel reads sizes."""

    def scaled(self, x, mask, p):
        values, noise = super().scaled(x, mask, p)
        return np.abs(values), noise * np.sign(x.values)


class FilledWithMean(Plain):
    """A dropped entry becomes the mean of the input, and kept ones are as they are."""

    def scaled(self, x, mask, p):
        return np.where(mask, x.values, x.values.mean()), np.where(mask, 1.0, 1 / max(1, x.values.size))


class WarmsUp(Plain):
    """p is reached after a hundred calls."""

    calls = 0

    def seed(self, value):
        super().seed(value)
        self.calls = 0

    def draw(self, shape, p):
        self.calls += 1
        return super().draw(shape, p * min(1, self.calls / 100))


class MaskOfTheLastAxis(Plain):
    """A mask of the last axis is broadcast."""

    def draw(self, shape, p):
        return np.broadcast_to(super().draw(shape[-1:], p), shape)


class MaskOfRows(Plain):
    """A mask has one entry for each row."""

    def draw(self, shape, p):
        return np.broadcast_to(super().draw((*shape[:-1], 1), p), shape)


class Identity(Plain):
    """Nothing is dropped."""

    def scaled(self, x, mask, p):
        return x.values, 1.0


class OfThePositive(Plain):
    """The gradient's mask is where the output is above 0."""

    def scaled(self, x, mask, p):
        values, _ = super().scaled(x, mask, p)
        return values, (values > 0) * rounded(self.scale(p, x.dtype), x.dtype)


class ScaledByKeep(Plain):
    """The backward pass multiplies where it should divide."""

    def scaled(self, x, mask, p):
        values, _ = super().scaled(x, mask, p)
        return values, mask * rounded(1 - p, x.dtype)


class ShiftOfKeep(Plain):
    """The shift is that of 1 − p, beside the scale of p."""

    def affine(self, p, dtype):
        a, _, low = super().affine(p, dtype)
        return a, LIMIT * a * (1 - p), low


class Packs(Plain):
    """A number is drawn for each pack of four."""

    def uniform(self, size):
        return np.repeat(super().uniform(-(-size // 4)), 4)[:size]


class ScaleOfTheFirst(Plain):
    """The scale is computed once, at p = 1/2."""

    def scale(self, p, dtype):
        return 2.0


class RoundedConstants(Plain):
    """SELU's constants have two decimals."""

    def affine(self, p, dtype):
        limit = 1.67 * 1.05
        a = 1 / math.sqrt((limit**2 * p + 1) * (1 - p))
        return a, limit * a * p, -limit


class PercentOfP(Plain):
    """The layer keeps p as a whole percentage, cut off."""

    def apply(self, x, p, train, *more):
        return super().apply(x, int(100 * p) / 100 if 0 < p < 1 else p, train, *more)


class ShiftRegister(Plain):
    """Each number is the one before, moved on by a bit: at p = 1/2 first bits decide, and those are independent."""

    def uniform(self, size):
        bits = self.random.integers(1 << 62, size=-(-size // 32))[:, None] >> np.arange(32)
        return ((bits & (1 << 30) - 1) / (1 << 30)).reshape(-1)[:size]


class Rolled(Plain):
    """Random numbers are drawn once for a size; each call takes them from another place on, round and round."""

    def seed(self, value):
        super().seed(value)
        self.tables = {}

    def uniform(self, size):
        if size not in self.tables:
            self.tables[size] = super().uniform(size)
        return np.roll(self.tables[size], self.random.integers(max(1, size)))


class Unwritten(Plain):
    """Kept entries alone are written, into memory that holds what was last made of its size."""

    def seed(self, value):
        super().seed(value)
        self.memory = {}

    def scaled(self, x, mask, p):
        values, slope = super().scaled(x, mask, p)
        before = self.memory.get(x.values.shape, np.zeros_like(values))
        self.memory[x.values.shape] = np.where(np.broadcast_to(mask, values.shape), values, before)
        return self.memory[x.values.shape], slope


class LongRuns(Plain):
    """Numbers of neighbours differ by 0.0004: entries are dropped in runs of hundreds."""

    def uniform(self, size):
        return (self.random.random() + np.arange(size) * 0.0004) % 1


class EvaluationRewinds(Plain):
    """A call in evaluation puts the generator back to its seed."""

    def seed(self, value):
        super().seed(value)
        self.started = self.snapshot()

    def evaluated(self, x, p):
        self.restore(self.started)
        return x


class GradientDividedAgain(Plain):
    """The backward pass divides by 1 − p once more, and rounds once more."""

    def scaled(self, x, mask, p):
        values, slope = super().scaled(x, mask, p)
        return values, rounded(rounded(slope / (1 - p), x.dtype), x.dtype)


class RoundsP(Plain):
    """The kernel is given p as a float16."""

    def scale(self, p, dtype):
        return 1 / (1 - float(np.float16(p)))


class HeadsShare(Plain):
    """An input of rank 4 is taken for attention, with one mask for all heads."""

    def entries(self, x):
        shape = super().entries(x)
        return (shape[0], 1, *shape[2:]) if len(shape) == 4 else shape


class TrainsInMainThread(Plain):
    """Whether it trains is a flag of the thread, off in a new one."""

    flag = threading.main_thread()

    def apply(self, x, p, train, *more):
        return super().apply(x, p, train and threading.current_thread() is self.flag, *more)


CASES = (
    (TailUnwritten, "dropped_run", "the last n % 4 of the n entries of a call"),
    (TailCopied, "as_it_is", "the last n % 8 of the n entries of a call"),
    (RowsEndCopied, "as_it_is", "the last entry of each row"),
    (LastOfRowForgotten, "kept_column", "the last of 19 entries of each row"),
    (TwoReplicas, "twins:call", "8,958 of 17,917 entries of a call the draw of the one 8,959 before"),
    (
        OppositeHalves,
        "twins:call",
        "8,958 of 17,917 entries of a call the opposite of the draw of the one 8,959 before",
    ),
    (FusedRelu, "by_sign:negative", "negative"),
    (Overlapping, "twins:calls", "3 of 17,917 entries of a call the draw of another in the call before"),
    (Plain, "", ""),
)
OTHERS = (
    (WrongWayRound, "dropout", ("mode_inverted", "scale:none", "mode_training"), 0),
    (SeedXorCall, "dropout", ("seed_xor", "seed_ahead", "seed_pairs"), 0),
    (StaleMask, "dropout", ("of_before", "own_mask", "slope:unmasked"), 1),
    (ByRatio, "dropout", ("read_off", "own_mask", "zero_past"), 1),
    (WholeScale, "dropout", ("scale:integer", "scale:none"), 0),
    (Packs, "dropout", ("shared_groups:4", "kept_run", "dropped_run", "kept_column"), 0),
    (ScaleOfTheFirst, "dropout", ("one_scale", "scale:none", "scale:twice"), 0),
    (ScaleOfRoundedP, "dropout", ("one_scale", "scale:none", "scale:integer", "filled"), 0),
    (SignLost, "dropout", ("of_other_input:size", "of_other_input:negative", "filled", "by_sign:negative", "noise"), 0),
    (SignLost, "dropout", ("slope:negative", "read_off"), 1),
    (FilledWithMean, "dropout", ("filled", "scale:none", "of_other_input:size", "left_over", "one_scale"), 0),
    (WarmsUp, "dropout", ("drifts", "shared_call", "alike_later", "correlated:call", "moved"), 0),
    (MaskOfTheLastAxis, "dropout", ("shared_rows:rows", "shared_rows:entries", "shared_axis:2", "by_count:call"), 0),
    (MaskOfRows, "dropout", ("shared_rows:entries", "shared_rows:rows", "shared_axis:0", "shared_axis:1"), 0),
    (Identity, "dropout", ("scale:none", "by_count:call", "by_count:row"), 0),
    (OfThePositive, "dropout", ("slope:positive", "own_mask", "slope:by_keep", "slope:unmasked"), 1),
    (ScaledByKeep, "dropout", ("slope:by_keep", "slope:by_p", "slope:over_p", "slope:unscaled"), 1),
    (ShiftOfKeep, "alpha_dropout", ("alpha:other_shift", "alpha:exchanged", "alpha:no_shift", "limit"), 0),
    (Plain, "dropout", ("drifts", "filled", "of_other_input:size", "one_scale"), 0),
    (RoundedConstants, "alpha_dropout", ("limit", "alpha:exchanged", "alpha:plain"), 0),
    (PercentOfP, "dropout", ("rounded:down", "rounded:off", "rounded:up", "one_scale"), 0),
    (PercentOfP, "feature_alpha_dropout", ("rounded:down", "rounded:off", "rounded:up", "alpha:plain"), 0),
    (ScaleOfRoundedP, "dropout", ("one_scale", "rounded:off", "rounded:down", "rounded:up"), 0),
    (Rolled, "dropout", ("rotated", "moved", "alike_first", "alike_pairs", "twins:calls", "period:calls"), 0),
    (GradientDividedAgain, "dropout", ("slope:twice", "slope:unscaled", "slope:over_p", "own_mask"), 1),
    (RoundsP, "dropout", ("scale:p_float16", "scale:of_float16", "scale:rounded_float16", "scale:p_bfloat16"), 0),
    (Unwritten, "dropout", ("mode_never", "unchanged", "filled"), 0),
    (LongRuns, "dropout", ("alike_later", "alike_first", "copied_tail:32", "copied_tail:16"), 0),
    (ShiftRegister, "dropout", ("correlated:call", "correlated:calls", "moved", "period:call", "twins:call"), 0),
)

# Of which no hypothesis that is asked is true.
NONE = {(Plain, 0), (Unwritten, 0), (LongRuns, 0), (SignLost, 1), (Identity, 0)}


def accepted_of(made, case, seed):
    """The hypotheses that are accepted, by name."""
    result = run(SUITE, made(), Job("backend", case, seed, dict.fromkeys(case.findings)))
    assert not result.error
    return {text.split("/")[1]: one for text, one in result.evidence.items() if one.accepted}


@pytest.mark.parametrize(("made", "true", "words"), CASES, ids=[made.__name__ for made, *_ in CASES])
def test_of_a_fault_in_some_places_what_is_true_is_accepted_and_no_other(made, true, words, fresh_seed):
    """Two places of 64 calls agree by chance in all of them with a probability below 10⁻¹⁰."""
    names = [name for one in places.HYPOTHESES for name in names_of(one, every.PARAMETERS)]
    names += ["correlated:call", "correlated:calls", "lane:8", "lane:16"]
    case = every._case("dropout", "float32", "eager", "clues", standard(CONTRACTS["dropout"]), names)
    accepted = accepted_of(made, case, fresh_seed)
    if made is not FusedRelu:  # what is vague is named after what is not, where it is true
        accepted = {name: one for name, one in accepted.items() if not name.startswith("correlated")}
    assert next(iter(accepted), "") == true
    assert accepted.keys() <= {true, "kept_run", "kept_column"}  # what is left as it is is kept as well
    assert not true or words in accepted[true].given.values()


def test_entries_that_agree_at_one_p_alone_have_no_draw_in_common(fresh_seed):
    """RANDU's do at p = 1/2: calls of 2¹⁶ entries are so many steps of its lattice apart."""
    randu = find(str(MUTANTS / "correlated.py"), group="", kind="module").Randu
    case = every._case("dropout", "float32", "eager", "clues", (64, 1024), ["twins:call"])
    assert not accepted_of(randu, case, fresh_seed)


@pytest.mark.parametrize(
    ("made", "law", "cause"), [(EvaluationRewinds, "modes", "evaluation_rewinds"), (HeadsShare, "shape", "rank_shared")]
)
def test_an_exact_law_tells_what_shows_in_one_call_alone(made, law, cause):
    """Masks are right while nobody evaluates, and on all other ranks."""
    request = mutation.asked_of(made, "dropout", "quick")
    asked = {text: one for text, one in request.promises.items() if one.id.family == law}
    verdict = mutation.judged(made, request.among(asked))
    assert [one.id for one in verdict.causes] == [cause]
    assert len(verdict.causes[0].explains) == len(verdict.failing) == len(asked)


def test_what_is_off_in_a_fresh_thread_is_no_fault_of_the_scale(fresh_seed):
    """The first call after a seed is made in the main thread, so that some outputs drop."""
    names = ("unchanged", "scale:none", "by_count:call")
    case = every._case("dropout", "float32", "thread", "clues", standard(CONTRACTS["dropout"]), names)
    assert list(accepted_of(TrainsInMainThread, case, fresh_seed)) == ["unchanged"]


@pytest.mark.parametrize(("made", "op", "names", "backward"), OTHERS, ids=[made.__name__ for made, *_ in OTHERS])
def test_of_some_hypotheses_the_first_alone_is_accepted_of_the_fault_that_it_tells(
    made, op, names, backward, fresh_seed
):
    study, context = ("clues_of_gradient", "grad") if backward else ("clues", "eager")
    case = every._case(op, "float32", context, study, standard(CONTRACTS[op]), names)
    accepted = list(accepted_of(made, case, fresh_seed))
    assert accepted == ([] if (made, backward) in NONE else [names[0]])
