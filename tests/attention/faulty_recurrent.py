"""Recurrent layers with one fault each, the law that is meant for it, and the cause that is told."""

import numpy as np
from recurrent_in_torch import Recurrent


class GapsShare(Recurrent):
    """One mask for all gaps."""

    meant_for, cause = ("gaps",), "shared_gaps"

    def masks(self, gaps, shape, p):
        return [self.draw(shape, p)] * gaps


class DrawnAgain(Recurrent):
    """The backward pass draws a mask of its own."""

    meant_for, cause = ("gradient:inputs",), "drawn_again"

    def for_gradient(self, mask, p):
        return np.random.default_rng().random(mask.shape) >= p


class BackwardWithoutMask(Recurrent):
    """The backward pass leaves the mask out, and the scale."""

    meant_for, cause = ("gradient:inputs",), "unmasked"

    def for_gradient(self, mask, p):
        return np.full(mask.shape, 1 - p)


class StepsShare(Recurrent):
    """One step's mask for all steps."""

    meant_for, cause = ("neighbours:1024", "slices"), "shared_axis:0"

    def draw(self, shape, p):
        return np.broadcast_to(super().draw((1, *shape[1:]), p), shape)


class SamplesShare(Recurrent):
    """One mask for the batch."""

    meant_for, cause = ("neighbours:64", "slices"), "shared_axis:1"

    def draw(self, shape, p):
        return np.broadcast_to(super().draw((shape[0], 1, shape[2]), p), shape)


class UnitsShare(Recurrent):
    """One draw for all units of a layer."""

    meant_for, cause = ("neighbours:1", "slices"), "shared_axis:2"

    def draw(self, shape, p):
        return np.broadcast_to(super().draw((*shape[:2], 1), p), shape)


class OneMaskEver(Recurrent):
    """Every call has the mask of the first."""

    meant_for, cause = ("calls:0", "no_mask_twice"), "one_mask"

    def draw(self, shape, p):
        return np.random.default_rng(1).random(shape) >= p


class LastLayerDrops(Recurrent):
    """The outputs of the last layer are dropped as well."""

    meant_for, cause = ("outcomes",), "drops_last"

    def last(self, x, p, train):
        return self.gap(x, self.draw(tuple(x.shape), p), p) if train and p else x


class NoScale(Recurrent):
    """What is kept isn't scaled."""

    meant_for, cause = ("outcomes",), "scale:none"

    def factor(self, p):
        return 1.0


class ScaledInEvaluation(Recurrent):
    """Outputs are scaled by 1 − p in evaluation."""

    meant_for, cause = ("evaluation",), "scaling"

    def in_evaluation(self, p):
        return 1 - p


class SeedIgnored(Recurrent):
    """No seed has an effect."""

    meant_for, cause = ("seeding",), "seed_ignored"

    def seed(self, value):
        super().seed(None)


class Sixteenths(Recurrent):
    """p is rounded to a sixteenth."""

    meant_for, cause = ("keep_rate",), "rate:16_nearest"

    def draw(self, shape, p):
        return super().draw(shape, round(p * 16) / 16)
