"""Functions with a state that calls depend on, and faults of one rank, layout or p: nothing is said that isn't so."""

import threading
from pathlib import Path

import numpy as np
import pytest

from keeprate.harness.protocol.engine import Job, run
from keeprate.harness.protocol.lookup import find
from keeprate.specs.dropout.contracts import CONTRACTS
from keeprate.specs.dropout.hypotheses import every
from keeprate.specs.dropout.hypotheses.clues import standard

plain = find(str(Path(__file__).parents[1] / "mutants" / "plain.py"), group="", kind="module")
Plain = plain.Plain
asking = find(str(Path(__file__).with_name("asking.py")), group="", kind="module")
SUITE, BY_NAME, said_of = asking.SUITE, asking.BY_NAME, asking.said_of


class Counting(Plain):
    """Counts its calls in training."""

    calls = 0
    seeded = -1

    def seed(self, value):
        super().seed(value)
        self.seeded = self.calls

    def draw(self, shape, p):
        self.calls += 1
        return super().draw(shape, p)


class TenthSkipped(Counting):
    """Each tenth call returns its input."""

    def scaled(self, x, mask, p):
        values, noise = super().scaled(x, mask, p)
        return (x.values if self.calls % 10 == 0 else values), noise


class FirstKept(Counting):
    """The first call after a seed drops nothing."""

    def draw(self, shape, p):
        mask = super().draw(shape, p)
        return np.ones_like(mask) if self.calls == self.seeded + 1 else mask


class HalfByTurns(Counting):
    """Each second call drops half as often."""

    def draw(self, shape, p):
        return super().draw(shape, p / 2 if self.calls % 2 else p)


class HalfInSecondHalf(Plain):
    """In the second half of its rows a call drops half as often."""

    def draw(self, shape, p):
        mask = super().draw(shape, p)
        half = super().draw(shape, p / 2)
        if shape:
            mask[shape[0] // 2 :] = half[shape[0] // 2 :]
        return mask


class ModeComesLate(Plain):
    """A call is made in the mode of the one before."""

    mode = False

    def apply(self, x, p, train, *more):
        now, self.mode = self.mode, train
        return super().apply(x, p, now, *more)


class ModeInverted(Plain):
    """The mode is the wrong way round."""

    def apply(self, x, p, train, *more):
        return super().apply(x, p, not train, *more)


class SeedsWhereAnother(Plain):
    """A seed that is the one it has already has no effect."""

    has = None

    def seed(self, value):
        if value != self.has:
            super().seed(value)
        self.has = value


class Unseeded(Plain):
    """No seed has an effect."""

    def seed(self, value):
        if not hasattr(self, "random"):
            super().seed(None)


SEEDS = ("seed_ignored", "same_again", "not_renewed", "seed_stuck", "seed_zero")
OF_CALLS = ("idle_calls", "by_turns", "mode_inverted", "mode_late", "correlated", "scale", *SEEDS)


@pytest.mark.parametrize(
    ("made", "said"),
    [
        (TenthSkipped, "returns its input unchanged in one call of 10"),
        (FirstKept, "drops nothing in the first call after a seed"),
        (HalfByTurns, "keeps entries with probability 0.75 and 0.5 by turns at p = 0.5"),
        (HalfInSecondHalf, ""),
        (ModeComesLate, "makes each call in the mode of the call before"),
        (ModeInverted, "takes its mode the wrong way round: it drops in evaluation, and not in training"),
        (SeedsWhereAnother, "isn't reset by a seed that is the one it has already"),
        (Unseeded, "ignores its seed"),
        (Plain, ""),
    ],
)
def test_of_calls_that_depend_on_others_their_state_is_told_and_nothing_else(made, said, fresh_seed):
    """Which of two rates the first call has is no matter of chance; that 1,024 entries are all kept at 1/2 is none."""
    found = said_of(made, "dropout", "eager", OF_CALLS, fresh_seed)
    if made is HalfByTurns and found:
        found = [one.replace("0.5 and 0.75", "0.75 and 0.5") for one in found]
    assert found == ([said] if said else [])


def of_rank(rank, hook):
    """A backend that has a fault on inputs of one rank alone, or of all ranks for 0."""

    def draw(self, x, shape, p):
        mask = Plain.mask(self, x, shape, p)
        return hook(mask) if rank in (0, len(x.shape)) else mask

    return type("OfRank", (Plain,), {"mask": draw})


def first_for_all(mask):
    """The first row's entries for all rows."""
    return np.broadcast_to(mask[:1], mask.shape)


def given_of(made, op, name, seed):
    case = every._case(op, "float32", "eager", "clues", standard(CONTRACTS[op]), [name])
    result = run(SUITE, made(), Job("backend", case, seed, dict.fromkeys(case.findings)))
    (account,) = result.evidence.values()
    assert account.accepted
    return account.given


@pytest.mark.parametrize(("rank", "named"), [(3, 3), (0, None)])
def test_what_is_so_on_inputs_of_one_rank_alone_is_said_with_it(rank, named, fresh_seed):
    given = given_of(lambda: of_rank(rank, first_for_all)(), "dropout", "shared_axis:0", fresh_seed)
    assert given.get("rank") == named


@pytest.mark.parametrize("shape", [(23, 41, 3, 2, 2), (64, 64, 1, 1, 3)])
def test_a_rank_is_told_on_whatever_shape_of_it(shape, fresh_seed):
    made = type("Elements", (Plain,), {"channels": lambda self, x: x.shape if len(x.shape) == 5 else x.shape[:1]})
    case = every._case("dropout3d", "float32", "eager", "clues", shape, ["by_element"])
    result = run(SUITE, made(), Job("backend", case, fresh_seed, dict.fromkeys(case.findings)))
    (account,) = result.evidence.values()
    assert account.accepted
    assert account.given["rank"] == 5


class RowsOfAPicture(Plain):
    """Channels last, of which the mask has rows of the picture in their place."""

    layout = "channels_last"

    def channels(self, x):
        return (*x.shape[:2], *(1 for _ in x.shape[2:]))


def test_an_axis_has_its_number_in_the_backends_layout(fresh_seed):
    given = given_of(RowsOfAPicture, "dropout2d", "by_axis", fresh_seed)
    assert given == {"along": "axis 1", "channels": ", and is the same for all channels"}


class NumberedThreads(Plain):
    """Outside the main thread all calls have one mask."""

    def draw(self, shape, p):
        if threading.current_thread() is threading.main_thread():
            return super().draw(shape, p)
        return np.random.default_rng(7).random(shape) >= p


def test_of_one_mask_in_fresh_threads_the_main_thread_is_no_other_call(fresh_seed):
    said = said_of(NumberedThreads, "dropout", "thread", ("alike_first", "alike_later"), fresh_seed)
    assert said[0] == "uses the mask of the first call for all later ones"


class AlphaOfRankThree(Plain):
    """Inputs of rank 3 are dropped to 0 before scale and shift."""

    def mapped(self, x, mask, p):
        _, b, _ = self.affine(p, x.dtype)
        values, noise = super().mapped(x, mask, p)
        return (np.where(mask, values, np.float32(b)) if values.ndim == 3 else values), noise


def test_of_alpha_dropout_a_rank_is_told_too(fresh_seed):
    assert given_of(AlphaOfRankThree, "alpha_dropout", "alpha:no_limit", fresh_seed)["rank"] == 3


def test_all_entries_of_a_call_are_no_neighbours(fresh_seed):
    made = of_rank(1, lambda mask: np.broadcast_to(mask[:1], mask.shape))
    said = said_of(made, "dropout", "eager", ("shared_groups", "shared_call"), fresh_seed, shape=(40_000,))
    assert said == ["draws once for all entries of a call"]
    assert said_of(made, "dropout", "eager", ("shared_groups", "shared_call"), fresh_seed) == []


class Patches(Plain):
    """Blocks of two by two share a draw."""

    def draw(self, shape, p):
        if len(shape) < 2:
            return super().draw(shape, p)
        mask = super().draw((*shape[:-2], -(-shape[-2] // 2), -(-shape[-1] // 2)), p)
        return mask.repeat(2, -1).repeat(2, -2)[..., : shape[-2], : shape[-1]]


def test_neighbours_along_two_axes_are_named_along_both(fresh_seed):
    said = said_of(Patches, "dropout", "eager", ("shared_groups:2",), fresh_seed)
    assert said == ["uses each draw for 2 neighbours along axis 1 and 2 neighbours in each row"]


class OfGradient(Plain):
    """A fault of the gradient alone."""

    def slope(self, noise, p):
        return noise

    def scaled(self, x, mask, p):
        values, noise = super().scaled(x, mask, p)
        return values, self.slope(noise, p)


class ByTwo(OfGradient):
    """The gradient is scaled for p = 1/2."""

    def slope(self, noise, p):
        return np.where(noise, 2.0, 0.0)


class ByWhole(OfGradient):
    """The gradient's scale is an integer."""

    def slope(self, noise, p):
        return np.where(noise, float(int(1 / (1 - p))), 0.0)


class OddEndForgotten(OfGradient):
    """Of an odd number of rows the last has no gradient."""

    def slope(self, noise, p):
        noise = np.array(noise, float)
        if noise.ndim > 1 and noise.shape[0] % 2:
            noise[-1] = 0
        return noise


class PastAThousand(OfGradient):
    """Elements from the thousandth on have no gradient."""

    def slope(self, noise, p):
        noise = np.array(noise, float)
        noise.reshape(-1)[1000:] = 0
        return noise


class FirstRowForgotten(OfGradient):
    """The first row has no gradient."""

    def slope(self, noise, p):
        noise = np.array(noise, float)
        if noise.ndim > 1:
            noise[0] = 0
        return noise


class NotScaled(Plain):
    """Output and gradient are not scaled."""

    def scaled(self, x, mask, p):
        return x.values * mask, mask * 1.0


OF_GRADIENTS = ("slope", "gradient_factor", "zero_past", "own_mask", "left_out_gradient", "gradient_scale")


@pytest.mark.parametrize(
    ("made", "said"),
    [
        (ByTwo, "multiplies the gradient by 2, whatever p is"),
        (ByWhole, "rounds the gradient's scale 1/(1 − p) down to a whole number"),
        (FirstRowForgotten, "returns a gradient of 0 for the first row of a batch (axis 0)"),
        (OddEndForgotten, "returns a gradient of 0 for the last 779 of 17,917 elements"),
        (PastAThousand, "returns a gradient of 0 from element 1,000 on"),
        (NotScaled, ""),
        (Plain, ""),
    ],
)
def test_of_a_gradient_its_own_fault_is_told_and_none_that_the_output_has(made, said, fresh_seed):
    assert said_of(made, "dropout", "grad", OF_GRADIENTS, fresh_seed) == ([said] if said else [])


class OnePixel(Plain):
    """A map of one pixel is returned as it is."""

    def scaled(self, x, mask, p):
        values, noise = super().scaled(x, mask, p)
        return (x.values if values.shape[2:] == (1, 1) else values), noise


class SignOfInfinity(Plain):
    """Infinities lose their sign."""

    def scaled(self, x, mask, p):
        values, noise = super().scaled(x, mask, p)
        return np.where(np.isinf(values), np.abs(values), values), noise


class MatricesNotScaled(Plain):
    """Inputs of rank 2 are not scaled."""

    def scaled(self, x, mask, p):
        values, noise = super().scaled(x, mask, p)
        return (x.values * mask if values.ndim == 2 else values), noise


class ZeroAtOne(Plain):
    """In evaluation too."""

    def evaluated(self, x, p):
        return plain.Array(x.values * 0, x.dtype) if p == 1 else super().evaluated(x, p)


class NoNan(Plain):
    """Evaluation turns NaN into 0."""

    def evaluated(self, x, p):
        return plain.Array(np.nan_to_num(x.values, nan=0, posinf=np.inf, neginf=-np.inf), x.dtype)


class Clamps(Plain):
    """Evaluation turns infinities into the largest numbers."""

    def evaluated(self, x, p):
        return plain.Array(np.nan_to_num(x.values, nan=np.nan), x.dtype)


class OddEndKept(Plain):
    """Of an odd number of channels the last is never dropped."""

    def draw(self, shape, p):
        mask = super().draw(shape, p)
        if len(shape) > 1 and shape[1] % 2:
            mask[:, -1] = True
        return mask


def test_what_is_so_of_an_odd_number_is_not_said_of_all(fresh_seed):
    said = said_of(OddEndKept, "feature_dropout", "eager", ("left_out_kept", "kept_column"), fresh_seed)
    assert said == ["keeps the last of 41 channels of each sample"]


class InvertedDropout(Plain):
    """Ordinary dropout's scale, no shift, and α′ for dropped entries."""

    def mapped(self, x, mask, p):
        return np.where(mask, x.values / (1 - p), -plain.LIMIT), mask / (1 - p)


def test_a_shift_that_is_missing_adds_nothing(fresh_seed):
    (said,) = said_of(InvertedDropout, "alpha_dropout", "eager", ("alpha_line",), fresh_seed)
    assert "it adds 0 to what it keeps at p = 0.3, not 0.4541" in said


@pytest.mark.parametrize(
    ("made", "op", "study", "begins", "ends"),
    [
        (OnePixel, "dropout2d", "probabilities", "returns an output that is its input", " on shape 64x64x1x1"),
        (SignOfInfinity, "dropout", "specials", "returns an output that is wrong (", "where the input is not finite"),
        (
            MatricesNotScaled,
            "dropout",
            "shape",
            "returns an output whose kept entries are not scaled",
            " in training where 0 < p < 1 on inputs of rank 2",
        ),
        (NoNan, "dropout", "evaluation", "returns an output of 0 where the input is NaN", " in evaluation"),
        (Clamps, "feature_dropout", "evaluation", "returns an output that is wrong (", "not finite in evaluation"),
        (ZeroAtOne, "dropout", "evaluation", "returns an output of 0", " in evaluation at p = 1"),
    ],
)
def test_of_single_calls_what_is_so_of_all_others_is_not_said(made, op, study, begins, ends):
    """After some seeds no infinity is kept at p = 0.9."""
    (said,) = said_of(made, op, "eager", (f"fact:{study}",), 1)
    assert said.startswith(begins)
    assert said.endswith(ends)


@pytest.mark.parametrize("study", ["specials", "shape", "endpoints", "inplace"])
def test_a_call_that_is_wrong_at_times_tells_nothing_of_others_like_it(study, fresh_seed):
    assert said_of(TenthSkipped, "dropout", "eager", (f"fact:{study}",), fresh_seed) == []
