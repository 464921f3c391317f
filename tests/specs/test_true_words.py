"""Faults that resemble others, or show so only at some size or p: what is said of each is true of all its calls."""

from pathlib import Path

import numpy as np
import pytest

from keeprate.harness.protocol.engine import Job, run
from keeprate.harness.protocol.lookup import find
from keeprate.harness.protocol.suite import load_suite
from keeprate.specs.dropout.contracts import CONTRACTS
from keeprate.specs.dropout.hypotheses import every
from keeprate.specs.dropout.hypotheses.clues import standard

plain = find(str(Path(__file__).parents[1] / "mutants" / "plain.py"), group="", kind="module")
Plain, rounded = plain.Plain, plain.rounded
SUITE = load_suite("dropout")
BY_NAME = {one.name: one for one in SUITE.hypotheses}


def sentences(made, op, context, names, study="clues", dtype="float32", seed=0):
    """What is said of a backend by those of some hypotheses that are accepted."""
    shape = () if names[0].startswith("fact") else standard(CONTRACTS[op])
    case = every._case(op, dtype, context, study, shape, names)
    result = run(SUITE, made(), Job("backend", case, seed, dict.fromkeys(case.findings)))
    assert not result.error
    accepted = ((text.split("/")[1], one) for text, one in result.evidence.items() if one.accepted)
    return [BY_NAME[name.partition(":")[0]].says.format_map(one.given) for name, one in accepted]


class MappedAlike(Plain):
    """A mapped call draws from where the first one did, and leaves the state as it was."""

    first = None

    def seed(self, value):
        super().seed(value)
        self.first = None

    def vmap(self, fn):
        def mapped(x):
            before = self.random
            self.random = self.generator(self.key)
            try:
                return super(MappedAlike, self).vmap(fn)(x)
            finally:
                self.random = before

        return mapped

    def generator(self, seed):
        self.key = seed
        return super().generator(seed)


class CompiledAlike(Plain):
    """A compiled function draws from where it did when it was first called."""

    def compile(self, fn):
        states = []

        def call(*arguments):
            states.append(self.snapshot())
            self.restore(states[0])
            return fn(*arguments)

        return call


class RepeatsAfterRows(Plain):
    """A batch has four rows of draws, which are taken in turn."""

    def draw(self, shape, p):
        mask = super().draw(shape, p)
        return np.resize(mask[:4], shape) if len(shape) > 1 else mask


class RepeatsAfterHalf(Plain):
    """The second half of a call of an even size has the draws of the first."""

    def uniform(self, size):
        numbers = super().uniform(size)
        numbers[size - size // 2 :] = numbers[: size // 2]
        return numbers


class RepeatsAtOneSize(Plain):
    """Calls of one size, and of no other, repeat after a thousand draws."""

    def uniform(self, size):
        numbers = super().uniform(size)
        return np.resize(numbers[:1000], size) if size == 23 * 41 * 19 else numbers


def has_gaps(x):
    """Whether each second element of a row is left out."""
    return x.ndim > 0 and x.strides[-1] == 2 * x.itemsize


class FirstHalf(Plain):
    """A view with gaps is written up to half of its elements alone."""

    def scaled(self, x, mask, p):
        values, noise = super().scaled(x, mask, p)
        if has_gaps(x.values):
            flat = np.arange(values.size).reshape(values.shape)
            values = np.where(flat < values.size // 2, values, x.values)
        return values, noise


class NotAtAll(Plain):
    """A view with gaps is not written to."""

    def scaled(self, x, mask, p):
        values, noise = super().scaled(x, mask, p)
        return (x.values if has_gaps(x.values) else values), noise


REPEATED = ("alike_first", "alike_rows", "alike_pairs", "period:call", "period:calls")


@pytest.mark.parametrize(
    ("made", "context", "said"),
    [
        (MappedAlike, "vmap", "uses the masks of the first mapped call for all later ones"),
        (CompiledAlike, "compile", "uses the mask of the first call for all later ones"),
        (RepeatsAfterRows, "eager", "draws random numbers that repeat after 4 rows of the batch"),
        (RepeatsAtOneSize, "eager", None),
        (Plain, "eager", None),
        (Plain, "vmap", None),
        (Plain, "compile", None),
    ],
)
def test_a_period_is_named_where_it_is_one_at_another_size_too(made, context, said, fresh_seed):
    """Calls of one size that are all the same repeat after a call, and random numbers need not repeat at all."""
    assert sentences(made, "dropout", context, REPEATED, seed=fresh_seed) == ([said] if said else [])


def test_half_of_a_call_is_no_period_of_numbers(fresh_seed):
    names = ("period:call", "period:calls")
    case = every._case("dropout", "float32", "eager", "clues", (64, 256), names)
    result = run(SUITE, RepeatsAfterHalf(), Job("backend", case, fresh_seed, dict.fromkeys(case.findings)))
    accepted = {text.split("/")[1]: one.given["length"] for text, one in result.evidence.items() if one.accepted}
    assert accepted == {"period:call": "half of a call"}


@pytest.mark.parametrize(
    ("made", "said"),
    [
        (FirstHalf, "returns an output that is its input in some entries"),
        (NotAtAll, "returns an output that is its input in training"),
        (Plain, ""),
    ],
)
def test_an_output_is_said_to_be_its_input_where_all_of_it_is(made, said, fresh_seed):
    found = sentences(made, "dropout", "eager", ("fact:strides",), "clues_of_strides", seed=fresh_seed)
    assert len(found) == bool(said)
    assert all(one.startswith(said) for one in found), found


class OfBytes(Plain):
    """Bytes are kept that are at most (1 − p)·255, rounded down."""

    def draw(self, shape, p):
        return self.random.integers(0, 256, shape, dtype=np.int32) <= int((1 - p) * 255)


class OfHundreds(Plain):
    """p is a number of percent."""

    def draw(self, shape, p):
        return super().draw(shape, round(p * 100 + 0.3) / 100)


class OffByAThousandth(Plain):
    """One entry in a thousand is dropped more."""

    def draw(self, shape, p):
        return super().draw(shape, min(1, p + 0.001))


class OfABrainFloat(Plain):
    """1 − p is rounded to bfloat16, which has steps of 1/256 near 1 alone."""

    def draw(self, shape, p):
        return super().draw(shape, 1 - float(rounded(1 - p, "bfloat16")))


@pytest.mark.parametrize("op", ["dropout", "dropout2d"])
@pytest.mark.parametrize(
    ("made", "steps"), [(OfBytes, 256), (OfHundreds, 100), (OffByAThousandth, 0), (OfABrainFloat, 0), (Plain, 0)]
)
def test_a_rate_is_a_multiple_where_it_is_at_every_p(made, steps, op, fresh_seed):
    """That ten rates are multiples by chance, of any of five steps, has a probability below 10⁻³."""
    said = [f"keeps with a probability that is a multiple of 1/{steps}"] if steps else []
    assert sentences(made, op, "eager", ("stepped",), seed=fresh_seed) == said


class TiledBackward(Plain):
    """The backward pass draws the mask again in blocks of 512, and the forward pass in larger ones."""

    def scaled(self, x, mask, p):
        values, noise = super().scaled(x, mask, p)
        other = mask.copy()
        other.reshape(-1)[512:] = self.generator(int(mask[..., :9].sum())).random(max(0, mask.size - 512)) >= p
        return values, np.broadcast_to(other, noise.shape) * rounded(self.scale(p, x.dtype), x.dtype)


class TailOfBackward(Plain):
    """What is left over after the last whole vector of eight has another mask in the backward pass."""

    def scaled(self, x, mask, p):
        values, noise = super().scaled(x, mask, p)
        tail = mask.size // 8 * 8
        other = mask.copy()
        other.reshape(-1)[tail:] = self.generator(int(mask.sum())).random(mask.size - tail) >= p
        return values, np.broadcast_to(other, noise.shape) * rounded(self.scale(p, x.dtype), x.dtype)


class EachSecondBlock(Plain):
    """Each second block of 512 has another mask in the backward pass."""

    def scaled(self, x, mask, p):
        values, _ = super().scaled(x, mask, p)
        drawn = self.generator(int(mask.sum())).random(mask.shape) >= p
        second = (np.arange(mask.size) // 512 % 2 > 0).reshape(mask.shape)
        return values, np.where(second, drawn, mask) * rounded(self.scale(p, x.dtype), x.dtype)


class Redrawn(Plain):
    """The backward pass draws a mask of its own."""

    def scaled(self, x, mask, p):
        values, _ = super().scaled(x, mask, p)
        return values, self.draw(mask.shape, p) * rounded(self.scale(p, x.dtype), x.dtype)


@pytest.mark.parametrize("op", ["dropout", "feature_dropout"])
@pytest.mark.parametrize(
    ("made", "where"),
    [
        (TiledBackward, "all entries of a call past the first 512"),
        (TailOfBackward, "the last n % 8 of the n entries of a call"),
        (EachSecondBlock, "the last 431 of 943 entries of a call"),
        (Redrawn, ""),
        (Plain, ""),
    ],
)
def test_a_gradient_has_the_outputs_mask_up_to_an_entry(made, where, op, fresh_seed):
    named = where and not (made is EachSecondBlock and op == "dropout")  # which has more blocks at its usual shape
    said = [f"gives {where} another mask in the gradient than in the output"] if named else []
    assert sentences(made, op, "grad", ("other_past",), "clues_of_gradient", seed=fresh_seed) == said


class ShiftedBackward(Plain):
    """The derivative of a·x + b has the b as well."""

    def gradient(self, out, cotangent):
        _, b, _ = self.affine(self.p, out.dtype)
        return plain.Array(rounded(cotangent.values * out.slope + b * (0 < self.p < 1), out.dtype), out.dtype)

    def apply(self, x, p, train, inplace, shape_of_mask, formula):
        self.p = float(p) if train else 0.0
        return super().apply(x, p, train, inplace, shape_of_mask, formula)


class ShiftedWhereKept(ShiftedBackward):
    """The same of what is kept."""

    def gradient(self, out, cotangent):
        whole = super().gradient(out, cotangent).values
        return plain.Array(np.where(out.slope == 0, 0, whole), out.dtype)


class HalfShifted(ShiftedBackward):
    """Half of the shift is added."""

    def affine(self, p, dtype):
        a, b, d = super().affine(p, dtype)
        return (a, b / 2, d) if self.back else (a, b, d)

    back = False

    def gradient(self, out, cotangent):
        self.back = True
        try:
            return super().gradient(out, cotangent)
        finally:
            self.back = False


@pytest.mark.parametrize("op", ["alpha_dropout", "feature_alpha_dropout"])
@pytest.mark.parametrize(
    ("made", "said"),
    [
        (ShiftedBackward, "adds alpha dropout's shift b to the gradient"),
        (ShiftedWhereKept, "adds alpha dropout's shift b to the gradient of what is kept"),
        (HalfShifted, ""),
        (Redrawn, ""),
        (Plain, ""),
    ],
)
def test_a_shift_is_found_in_the_gradient_where_all_of_it_is_there(made, said, op, fresh_seed):
    names = ("slope:shifted", "slope:shifted_kept", "slope:unmasked")
    found = sentences(made, op, "grad", names, "clues_of_gradient", seed=fresh_seed)
    assert found == ([said] if said else [])


class AffineInEvaluation(Plain):
    """Evaluation has a·x + b."""

    def evaluated(self, x, p):
        a, b, _ = self.affine(p, x.dtype) if p < 1 else (1, 0, 0)
        return plain.Array(rounded(rounded(x.values * rounded(a, x.dtype), x.dtype) + b, x.dtype), x.dtype, a)


class ScaledInEvaluation(Plain):
    """Evaluation has a·x."""

    def evaluated(self, x, p):
        a, *_ = self.affine(p, x.dtype) if p < 1 else (1, 0, 0)
        return plain.Array(rounded(x.values * rounded(a, x.dtype), x.dtype), x.dtype, a)


@pytest.mark.parametrize(
    ("made", "op", "said"),
    [
        (AffineInEvaluation, "alpha_dropout", "applies alpha dropout's scale and shift, a·x + b, in evaluation"),
        (
            AffineInEvaluation,
            "feature_alpha_dropout",
            "applies alpha dropout's scale and shift, a·x + b, in evaluation",
        ),
        (AffineInEvaluation, "dropout", ""),
        (ScaledInEvaluation, "alpha_dropout", ""),
        (Plain, "alpha_dropout", ""),
    ],
)
def test_evaluation_that_is_affine_is_named_of_alpha_dropout_alone(made, op, said, fresh_seed):
    assert sentences(made, op, "eager", ("evaluation_affine",), seed=fresh_seed) == ([said] if said else [])


class WholeBlocksAlone(Plain):
    """The grid has n // 128 blocks, and at least one: what is behind them is dropped."""

    def draw(self, shape, p):
        mask = super().draw(shape, p)
        if mask.size >= 128:
            mask.reshape(-1)[mask.size // 128 * 128 :] = False
        return mask


def test_a_remainder_is_said_to_be_lost_where_it_is(fresh_seed):
    where = "the last n % 128 of the n entries of a call where n ≥ 128"
    assert sentences(WholeBlocksAlone, "dropout", "eager", ("dropped_run",), seed=fresh_seed) == [f"drops {where}"]


class DefaultAtZero(Plain):
    """p = 0 is taken for no p."""

    def all_kept(self, x):
        values, slope = self.default(x, 0.5)
        return plain.Array(values, x.dtype, slope)

    def default(self, x, p):
        formula, shape = self.asked
        return formula(x, self.mask(x, shape, p), p)

    def apply(self, x, p, train, inplace, shape_of_mask, formula):
        self.asked = formula, shape_of_mask(x)
        return super().apply(x, p, train, inplace, shape_of_mask, formula)


class FifthAtZero(DefaultAtZero):
    """p = 0 is taken for another default."""

    def default(self, x, p):
        return super().default(x, 0.2)


class HalfAtZero(DefaultAtZero):
    """Half is dropped at p = 0, and nothing is scaled."""

    def scale(self, p, dtype):
        return super().scale(p, dtype) if p != 0.5 else 1.0


@pytest.mark.parametrize(
    ("made", "op", "p"),
    [
        (DefaultAtZero, "dropout", "0.5"),
        (DefaultAtZero, "alpha_dropout", "0.5"),
        (DefaultAtZero, "dropout2d", "0.5"),
        (FifthAtZero, "dropout", "0.2"),
        (HalfAtZero, "dropout", ""),
        (Plain, "dropout", ""),
    ],
)
def test_what_is_done_at_zero_is_named_where_it_is_pytorchs_at_another_p(made, op, p, fresh_seed):
    said = [f"drops at p = 0, as at p = {p}"] if p else []
    assert sentences(made, op, "eager", ("at_zero",), seed=fresh_seed) == said


class ThroughFloat32(Plain):
    """float64 is cast to float32, and computed there."""

    def through(self, formula, x, mask, p):
        dtype = "float32" if x.dtype == "float64" else x.dtype
        values, slope = formula(plain.Array(rounded(x.values, dtype), dtype), mask, p)
        return values.astype(x.values.dtype), slope

    def scaled(self, x, mask, p):
        return self.through(super().scaled, x, mask, p)

    def mapped(self, x, mask, p):
        return self.through(super().mapped, x, mask, p)


class OffByAMillionth(Plain):
    """Values are off by about what float32 rounds, and of float64."""

    def scaled(self, x, mask, p):
        values, slope = super().scaled(x, mask, p)
        return values * (1 + 1e-7), slope


class SmallScale(ThroughFloat32):
    """float32 is computed with a scale that is off."""

    def scale(self, p, dtype):
        return super().scale(p, dtype) * (1 + 1e-5)


@pytest.mark.parametrize(
    ("made", "op", "named"),
    [
        (ThroughFloat32, "dropout", True),
        (ThroughFloat32, "feature_alpha_dropout", True),
        (OffByAMillionth, "dropout", False),
        (SmallScale, "dropout", False),
        (Plain, "dropout", False),
    ],
)
def test_a_narrower_dtype_is_named_where_outputs_are_what_is_right_in_it(made, op, named, fresh_seed):
    names = ("computed:bfloat16", "computed:float16", "computed:float32")
    said = ["computes in float32 in place of its input's dtype"] if named else []
    assert sentences(made, op, "eager", names, dtype="float64", seed=fresh_seed) == said


class ConstantsOfTheFirst(Plain):
    """Alpha dropout's constants are computed once."""

    of = 0.5

    def affine(self, p, dtype):
        return super().affine(self.of, dtype)


class ConstantsOfAnother(ConstantsOfTheFirst):
    """The same of a p that no call has."""

    of = 0.125


class SquaredConstants(Plain):
    """The constants are those of p²."""

    def affine(self, p, dtype):
        return super().affine(p * p, dtype)


@pytest.mark.parametrize(
    ("made", "p"), [(ConstantsOfTheFirst, "0.5"), (ConstantsOfAnother, "0.125"), (SquaredConstants, ""), (Plain, "")]
)
def test_constants_are_anothers_where_they_are_at_every_p(made, p, fresh_seed):
    found = sentences(made, "alpha_dropout", "eager", ("alpha_line",), seed=fresh_seed)
    said = f"takes alpha dropout's scale and shift of p = {p} at other p too"
    assert found == [said] if p else said[:40] not in "".join(found)


class InMemoryOrder(Plain):
    """The backward pass reads the cotangent in the order of its memory."""

    def gradient(self, out, cotangent):
        flat = cotangent.values.ravel(order="K").reshape(cotangent.values.shape)
        return plain.Array(rounded(flat * out.slope, out.dtype), out.dtype)


class OfTheInputsOrder(Plain):
    """The backward pass has the slopes in the order of the input's memory."""

    def vjp(self, fn, x, cotangent):
        out = fn(x)
        order = np.argsort(np.arange(x.values.size).reshape(x.values.shape).ravel(order="F"))
        turned = x.values.ndim > 1 and not x.values.flags.c_contiguous and x.values.flags.f_contiguous
        slope = out.slope.ravel()[order].reshape(out.slope.shape) if turned else out.slope
        return out, plain.Array(rounded(cotangent.values * slope, out.dtype), out.dtype)


class WhereBothAre(Plain):
    """The order is lost where input and cotangent both lie otherwise."""

    def vjp(self, fn, x, cotangent):
        out, given = fn(x), cotangent.values
        if not (x.values.flags.c_contiguous or given.flags.c_contiguous):
            given = np.flip(given)
        return out, plain.Array(rounded(given * out.slope, out.dtype), out.dtype)


@pytest.mark.parametrize(
    ("made", "where"),
    [
        (InMemoryOrder, "where the cotangent lies in memory as transposed"),
        (OfTheInputsOrder, "where the input lies in memory as transposed"),
        (WhereBothAre, ""),
        (Redrawn, ""),
        (Plain, ""),
    ],
)
def test_of_two_arrays_that_one_is_named_which_must_lie_so(made, where, fresh_seed):
    found = sentences(made, "dropout", "grad", ("strided_array",), "clues_of_gradient", seed=fresh_seed)
    assert found == ([f"returns wrong gradients {where}"] if where else [])


class XoredLate(Plain):
    """A call's number is xored onto hashes of places, so that masks of two calls follow from one another."""

    def seed(self, value):
        super().seed(value)
        self.hashes = self.random.integers(0, 1 << 32, 1 << 20, dtype=np.uint64)

    def uniform(self, size):
        mine = self.random.integers(0, 1 << 32, dtype=np.uint64)
        return (np.resize(self.hashes, size) ^ mine) / 2.0**32


class FromAFew(Plain):
    """Each mask is one of forty."""

    def uniform(self, size):
        return self.generator(int(self.random.integers(40))).random(size)


@pytest.mark.parametrize(
    ("made", "said"),
    [
        (XoredLate, "makes masks of calls that depend on one another: at p = 0.5 some come again"),
        (FromAFew, "reuses masks of earlier calls: call"),
        (Plain, ""),
    ],
)
def test_masks_are_reused_where_they_come_again_at_another_p_too(made, said, fresh_seed):
    """That two of 160 masks are the same by chance has a probability below 10⁻³⁰⁰, of forty that few are below 10⁻⁹."""
    found = sentences(made, "dropout", "eager", ("alike_first", "alike_pairs", "alike_later"), seed=fresh_seed)
    assert len(found) == bool(said)
    assert all(one.startswith(said) for one in found), found


class RowPlusColumn(Plain):
    """The counter of an entry is its row plus its column."""

    def draw(self, shape, p):
        columns = shape[-1] if shape else 1
        size = int(np.prod(shape))
        numbers = self.uniform(size + columns)
        place = np.arange(size)
        return (numbers[place // columns + place % columns] >= p).reshape(shape)


class SamplesInPairs(Plain):
    """A mask is drawn for each second sample, and is the next one's too."""

    def draw(self, shape, p):
        return np.repeat(super().draw((-(-shape[0] // 2), *shape[1:]), p), 2, axis=0)[: shape[0]] if shape else True


class EighteenBefore(Plain):
    """Each fourth entry has the draw of the one 18 before, however long a row is."""

    def uniform(self, size):
        numbers = super().uniform(size)
        numbers[18::36] = numbers[: max(0, size - 18) : 36]
        return numbers


@pytest.mark.parametrize(
    ("made", "op", "far"),
    [
        (RowPlusColumn, "dropout", "the draw of the next one in the row before"),
        (SamplesInPairs, "dropout2d", "the draw of the same channel in the sample before"),
        (EighteenBefore, "dropout", "the draw of the one 18 before"),
        (Plain, "dropout", ""),
    ],
)
def test_a_step_is_a_row_where_it_is_one_on_another_shape_too(made, op, far, fresh_seed):
    found = sentences(made, op, "eager", ("twins:call",), seed=fresh_seed)
    assert len(found) == bool(far)
    assert all(one.endswith(far) for one in found), found
