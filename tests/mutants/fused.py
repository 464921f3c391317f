"""Wrong only where an operator is compiled together with what stands beside it."""

import numpy as np
from faithful import Networked
from plain import rounded


class Together(Networked):
    """A backend that can tell which calls stand in one compiled function."""

    dtypes = Networked.__base__.dtypes
    calls = None  # what is kept of those before, in a compiled function

    def compile(self, fn):
        def call(*arguments):
            before, self.calls = self.calls, []
            try:
                return fn(*arguments)
            finally:
                self.calls = before

        return call


class OneDrawForAll(Together):
    """In a compiled function draws of one shape are one expression: its calls share a mask. A5."""

    meant_for = ("calls", "no_stretch_twice")
    cause = "alike_rows"
    ops = ("dropout", "feature_dropout")
    where = "fused"

    def draw(self, shape, p):
        if self.calls is None:
            return super().draw(shape, p)
        if not self.calls:
            self.calls.append(super().draw(shape, p))
        return self.calls[0]


class OneCallForTwo(Together):
    """In a compiled function two calls on the same array are taken for one. A5."""

    meant_for = ("calls", "no_stretch_twice")
    cause = "alike_later"
    ops = ("alpha_dropout",)
    where = "fused"

    def apply(self, x, p, train, inplace, shape_of_mask, formula):
        for before, out in self.calls or ():
            if before is x:
                return out
        out = super().apply(x, p, train, inplace, shape_of_mask, formula)
        if self.calls is not None:
            self.calls.append((x, out))
        return out


class TransposeReadFlat(Together):
    """A transpose inside a compiled function is fused, and read in the order of its memory. N1."""

    meant_for = "outcomes"
    ops = ("dropout", "dropout2d")
    where = "fused"

    def scaled(self, x, mask, p):
        values, noise = super().scaled(x, mask, p)
        if self.calls is None or x.values.flags.c_contiguous:
            return values, noise
        return rounded(x.values.ravel("K").reshape(x.values.shape) * noise, x.dtype), noise


class BackwardOfTheLast(Together):
    """In a compiled function the backward pass of each call has the mask of the last. D3."""

    meant_for = "gradient"
    ops = ("dropout", "alpha_dropout")
    where = "fused"

    def result(self, x, values, slope):
        out, slopes = super().result(x, values, slope), self.calls
        if slopes is not None:
            slopes.append(slope)
            out.parents = tuple((one, lambda g: g * slopes[-1]) for one, _ in out.parents)
        return out


class NotMaskedBehindARelu(Together):
    """Fused with a relu before it, the backward pass scales and forgets the mask. D5."""

    meant_for = "gradient"
    ops = ("dropout1d",)
    where = "fused"

    def scaled(self, x, mask, p):
        values, noise = super().scaled(x, mask, p)
        inside = self.calls is not None and len(getattr(x, "parents", ())) == 2
        return values, np.full_like(noise, rounded(1 / (1 - p), x.dtype)) if inside else noise
