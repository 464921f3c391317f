"""Encoder layers with one fault each, the law that is meant for it, and the cause that is told."""

import numpy as np
from encoder_in_torch import Encoder


class WeightsStay(Encoder):
    """Attention has no dropout of its own."""

    meant_for, cause = ("outcomes",), "undropped"
    stays = "weights"


class HiddenStay(Encoder):
    """Nothing is dropped between the linear layers."""

    meant_for, cause = ("outcomes",), "undropped"
    stays = "hidden"


class OutputStays(Encoder):
    """What the linear layers give is not dropped before it is added."""

    meant_for, cause = ("outcomes",), "undropped"
    stays = "output"


class PlacesShare(Encoder):
    """What attention gives, and the output, have one mask."""

    meant_for, cause = ("gaps",), "shared_sites"

    def mask(self, place, shape, p):
        if place == "output":
            return self.kept
        mask = super().mask(place, shape, p)
        if place == "attended":
            self.kept = mask
        return mask


class DrawnAgain(Encoder):
    """The backward pass draws a mask of its own."""

    meant_for, cause = ("gradient:inputs",), "drawn_again"

    def for_gradient(self, mask, p):
        return np.random.default_rng().random(mask.shape) >= p


class BackwardWithoutMask(Encoder):
    """The backward pass leaves the mask out, and the scale."""

    meant_for, cause = ("gradient:inputs",), "unmasked"

    def for_gradient(self, mask, p):
        return np.full(mask.shape, 1 - p)


class SamplesShare(Encoder):
    """One mask for the batch."""

    meant_for, cause = ("slices",), "shared_axis:0"

    def draw(self, shape, p):
        return np.broadcast_to(super().draw((1, *shape[1:]), p), shape)


class TokensShare(Encoder):
    """One mask for all tokens of a sample, and for all heads."""

    meant_for, cause = ("slices",), "shared_axis:1"

    def draw(self, shape, p):
        return np.broadcast_to(super().draw((shape[0], 1, *shape[2:]), p), shape)


class OneMaskEver(Encoder):
    """Every call draws the same masks."""

    meant_for, cause = ("calls:0", "no_mask_twice"), "one_mask"

    def encoder_layer(self, x, weights, heads, p, train):
        before = self.random.bit_generator.state
        try:
            return super().encoder_layer(x, weights, heads, p, train)
        finally:
            self.random.bit_generator.state = before


class OnInEvaluation(Encoder):
    """Dropout stays on in evaluation."""

    meant_for, cause = ("evaluation",), "dropping"

    def drops(self, place, train):
        return True


class SeedIgnored(Encoder):
    """No seed has an effect."""

    meant_for, cause = ("seeding",), "seed_ignored"

    def seed(self, value):
        super().seed(None)
