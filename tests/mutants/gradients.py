"""The gradient is not the output's."""

import math

import numpy as np
from plain import Array, Plain, rounded


class Redrawn(Plain):
    """The backward pass draws a mask of its own. D1, D2, D3."""

    meant_for = "gradient"
    cause = "own_mask"
    ops = ("dropout2d", "alpha_dropout")

    def scaled(self, x, mask, p):
        values, _ = super().scaled(x, mask, p)
        return values, super().scaled(x, self.draw(mask.shape, p), p)[1]

    def mapped(self, x, mask, p):
        values, _ = super().mapped(x, mask, p)
        return values, super().mapped(x, self.draw(mask.shape, p), p)[1]


class ReadOffTheOutput(Plain):
    """The gradient takes for kept what is not zero in the output. D4."""

    meant_for = ("gradient", "keep_rate")
    cause = "read_off"
    ops = ("dropout", "dropout1d")

    def scaled(self, x, mask, p):
        values, _ = super().scaled(x, mask, p)
        return values, (values != 0) * rounded(1 / (1 - p), x.dtype)


class ScaledByP(Plain):
    """The backward pass multiplies by p. D5."""

    meant_for = "gradient"
    cause = "slope:by_p"
    ops = ("dropout",)

    def scaled(self, x, mask, p):
        return super().scaled(x, mask, p)[0], mask * rounded(p, x.dtype)


class NotMasked(Plain):
    """The backward pass scales and forgets the mask. D5."""

    meant_for = "gradient"
    cause = "slope:unmasked"
    ops = ("dropout_",)

    def scaled(self, x, mask, p):
        values, noise = super().scaled(x, mask, p)
        return values, np.full_like(noise, rounded(1 / (1 - p), x.dtype))


class SlopeOfDropout(Plain):
    """Alpha dropout's backward pass scales by 1/(1 − p), as dropout's does. D5."""

    meant_for = "gradient"
    cause = "slope:plain"
    ops = ("feature_alpha_dropout",)

    def mapped(self, x, mask, p):
        return super().mapped(x, mask, p)[0], mask * rounded(1 / (1 - p), x.dtype)


class ZeroPastABlock(Plain):
    """The gradient is 0 past the first 1,024 elements. N3."""

    meant_for = "gradient"
    cause = "zero_past"
    ops = ("dropout",)

    def gradient(self, out, cotangent):
        gradient = super().gradient(out, cotangent)
        gradient.values.reshape(-1)[1024:] = 0
        return gradient


class WrongAtRankOne(Plain):
    """The gradient of a vector is the cotangent. M4."""

    meant_for = ("gradient", "shape")
    cause = "slope:cotangent"
    ops = ("dropout",)

    def gradient(self, out, cotangent):
        return cotangent if cotangent.values.ndim == 1 else super().gradient(out, cotangent)


class ZeroInEvaluation(Plain):
    """The gradient in evaluation is 0. D7."""

    meant_for = "evaluation"
    cause = "fact"
    ops = ("alpha_dropout",)

    def evaluated(self, x, p):
        return Array(x.values, x.dtype, np.zeros_like(x.values))


class OnesInEvaluation(Plain):
    """The gradient in evaluation is 1, whatever the cotangent. D6."""

    meant_for = "evaluation"
    cause = "fact"
    ops = ("dropout2d",)

    def evaluated(self, x, p):
        return Array(x.values, x.dtype, None)

    def gradient(self, out, cotangent):
        return Array(np.ones_like(out.values), out.dtype) if out.slope is None else super().gradient(out, cotangent)


class NaNAtOne(Plain):
    """The gradient at p = 1 is 0/0. J1."""

    meant_for = "endpoints"
    cause = "fact"
    ops = ("dropout",)

    def all_dropped(self, x):
        return super().all_dropped(x)[0], np.full_like(x.values, np.nan)


class WideGradient(Plain):
    """The gradient is float64, whatever the input is. K2."""

    meant_for = "dtype"
    cause = "fact"
    ops = ("dropout",)

    def gradient(self, out, cotangent):
        return Array(super().gradient(out, cotangent).values.astype(np.float64), "float64")


class ZeroPastAMillion(Plain):
    """The gradient is 0 past 2²⁰ elements: a grid of 1,024 blocks of 1,024 threads. N3, N4."""

    meant_for = "gradient"
    cause = "zero_past"
    ops = ("dropout", "feature_alpha_dropout")

    def gradient(self, out, cotangent):
        gradient = super().gradient(out, cotangent)
        gradient.values.reshape(-1)[1 << 20 :] = 0
        return gradient


class Differentiated(Plain):
    """A backend whose hooks can tell that a gradient is asked for."""

    differentiated = False

    def vjp(self, fn, x, cotangent):
        self.differentiated = True
        try:
            return super().vjp(fn, x, cotangent)
        finally:
            self.differentiated = False


class ForwardInFours(Differentiated):
    """Where a gradient is asked for, four neighbours share a draw. C1."""

    meant_for = "blocks"
    cause = "shared_groups:4"
    ops = ("dropout",)
    where = "grad"

    def uniform(self, size):
        return np.repeat(super().uniform(-(-size // 4)), 4)[:size] if self.differentiated else super().uniform(size)


class ForwardOfTheFirst(Differentiated):
    """Where a gradient is asked for, every pass has the mask of the first. A4, A5."""

    meant_for = "no_mask_twice"
    cause = "alike_first"
    ops = ("dropout2d", "dropout")
    where = "grad"

    def seed(self, value):
        super().seed(value)
        self.masks = {}

    def draw(self, shape, p):
        if not self.differentiated:
            return super().draw(shape, p)
        if (shape, p) not in self.masks:
            self.masks[shape, p] = super().draw(shape, p)
        return self.masks[shape, p]


class ForwardOfOneSample(Differentiated):
    """Where a gradient is asked for, all samples of a batch share one mask. B7."""

    meant_for = "neighbours"
    cause = "shared_axis:0"
    ops = ("dropout", "feature_dropout")
    where = "grad"

    def draw(self, shape, p):
        one = (1, *shape[1:]) if shape and self.differentiated else shape
        return np.broadcast_to(super().draw(one, p), shape)


class GradientInTheOrderOfMemory(Plain):
    """The gradient of a strided input is in the order of its memory. N1."""

    meant_for = "gradient"
    cause = ("strided_array", "strided_gradient")
    ops = ("dropout",)

    def vjp(self, fn, x, cotangent):
        out, gradient = super().vjp(fn, x, cotangent)
        if x.values.size and not x.values.flags.c_contiguous:
            turned = gradient.values.ravel("K")[::-1].reshape(gradient.values.shape).copy()
            return out, Array(turned, gradient.dtype)
        return out, gradient


class FirstOfTheCotangent(Plain):
    """Of a cotangent with stride 0, as a sum has, the first element alone is read. N2."""

    meant_for = "gradient"
    cause = ("strided_array", "strided_gradient")
    ops = ("dropout",)

    def gradient(self, out, cotangent):
        gradient = super().gradient(out, cotangent)
        if 0 in cotangent.values.strides and cotangent.values.size > 1:
            gradient.values.reshape(-1)[1:] = 0
        return gradient


class EmptyHasNoGradient(Plain):
    """The backward pass of an empty input raises. M3."""

    meant_for = "endpoints"
    cause = "fact"
    ops = ("dropout",)

    def gradient(self, out, cotangent):
        if not cotangent.values.size:
            raise ZeroDivisionError("0 blocks")
        return super().gradient(out, cotangent)


class ZeroPastAPlane(Plain):
    """The gradient is 0 past the first 1,024 elements of a channel. N3."""

    meant_for = "gradient"
    cause = "zero_past"
    ops = ("dropout2d",)

    def gradient(self, out, cotangent):
        gradient = super().gradient(out, cotangent)
        shape = gradient.values.shape
        if len(shape) > 2 and math.prod(shape[2:]) > 1024:
            gradient.values.reshape(*shape[:2], -1)[:, :, 1024:] = 0
        return gradient


class ZeroAtWidth1024(Plain):
    """At p = 0 the gradient is 0 where the last axis is 1,024, which has a kernel of its own. D8."""

    meant_for = "endpoints"
    cause = "fact"
    ops = ("dropout", "dropout2d", "alpha_dropout")

    def all_kept(self, x):
        shape = x.values.shape
        return Array(x.values, x.dtype, np.zeros(shape, np.float32)) if shape and shape[-1] == 1024 else x


class TailAtOne(Plain):
    """At p = 1 the gradient past the last whole vector of four is the cotangent. N3."""

    meant_for = "endpoints"
    ops = ("dropout", "feature_alpha_dropout")

    def all_dropped(self, x):
        values, slope = super().all_dropped(x)
        if slope.size > 1000:
            slope.reshape(-1)[slope.size // 4 * 4 :] = 1
        return values, slope


class EvaluationOfManyChannels(Plain):
    """In evaluation the gradient is scaled where there are 768 channels. D7."""

    meant_for = "evaluation"
    cause = "fact"
    ops = ("dropout1d",)

    def evaluated(self, x, p):
        wide = x.values.ndim == 3 and x.values.shape[1] == 768
        return Array(x.values, x.dtype, np.full_like(x.values, 1 / (1 - p))) if wide and 0 < p < 1 else x


class EvaluationOfAVolume(Plain):
    """In evaluation the gradient of five dimensions is 0. D7."""

    meant_for = "evaluation"
    cause = "fact"
    ops = ("dropout",)

    def evaluated(self, x, p):
        return Array(x.values, x.dtype, np.zeros_like(x.values)) if x.values.ndim == 5 else x


class NotMaskedAtWidth4096(Plain):
    """Where the last axis is 4,096 the backward pass scales and forgets the mask. D8."""

    meant_for = "gradient"
    cause = ("fact", "slope:unmasked")
    ops = ("dropout", "dropout3d")

    def scaled(self, x, mask, p):
        values, noise = super().scaled(x, mask, p)
        wide = x.values.ndim > 0 and x.values.shape[-1] == 4096
        return values, np.full_like(noise, rounded(1 / (1 - p), x.dtype)) if wide else noise


class ZerosOfTheNeighbour(Plain):
    """Where an input is 0 the gradient has the mask of the entry before it. D4."""

    meant_for = "gradient"
    ops = ("dropout", "alpha_dropout")

    def scaled(self, x, mask, p):
        values, noise = super().scaled(x, mask, p)
        return values, np.where(x.values == 0, np.roll(noise, 1), noise)

    def mapped(self, x, mask, p):
        values, noise = super().mapped(x, mask, p)
        return values, np.where(x.values == 0, np.roll(noise, 1), noise)


class GradientUnseeded(Differentiated):
    """Where a gradient is asked for, numbers come from a generator that no seed reaches. O8."""

    meant_for = "seeding"
    cause = "seed_ignored"
    ops = ("dropout2d",)
    where = "grad"

    def __init__(self):
        super().__init__()
        self.second = self.generator(None)

    def uniform(self, size):
        return self.second.random(size) if self.differentiated else super().uniform(size)
