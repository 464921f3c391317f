"""Wrong where a gradient is asked for later, or again, or where tangents are asked for."""

import numpy as np
from faithful import Pullbacks
from plain import Array, Plain


class Kept(Pullbacks):
    """A backend whose pullbacks may take what they need from elsewhere than from their own pass."""

    dtypes = Plain.dtypes

    def linearize(self, fn, x):
        out, _ = super().linearize(fn, x)
        return out, self.pullback(out)

    def pullback(self, out):
        return lambda cotangent: self.gradient(out, cotangent)


class OfTheLastPass(Kept):
    """The mask is kept in one place, for the last pass alone. No row: nobody has reported it yet."""

    meant_for = "gradient"
    cause = "fact:pullbacks"
    ops = ("dropout", "dropout2d")
    where = "linearize"

    def pullback(self, out):
        self.last = out
        return lambda cotangent: self.gradient(self.last, cotangent)


class LastInFirstOut(Kept):
    """Masks are kept on a stack, in the belief that passes go back in reverse. No row: nobody has reported it yet."""

    meant_for = "gradient"
    cause = "fact:pullbacks"
    ops = ("alpha_dropout",)
    where = "linearize"

    def __init__(self):
        super().__init__()
        self.stack = []

    def pullback(self, out):
        mine = []
        self.stack.append(out)

        def back(cotangent):
            mine[:] = mine or [self.stack.pop()]
            return self.gradient(mine[0], cotangent)

        return back


class FreedByTheFirst(Kept):
    """The first gradient frees what the second needs. No row: nobody has reported it yet."""

    meant_for = "gradient"
    cause = "fact:pullbacks"
    ops = ("dropout1d",)
    where = "linearize"

    def pullback(self, out):
        saved = [out]

        def back(cotangent):
            if not saved:
                raise RuntimeError("went back through the graph a second time")
            return self.gradient(saved.pop(), cotangent)

        return back


class FirstGradientAgain(Kept):
    """A pullback remembers its first gradient. No row: nobody has reported it yet."""

    meant_for = "gradient"
    cause = "fact:pullbacks"
    ops = ("feature_dropout",)
    where = "linearize"

    def pullback(self, out):
        first = []

        def back(cotangent):
            first[:] = first or [self.gradient(out, cotangent)]
            return first[0]

        return back


class TangentRedrawn(Pullbacks):
    """The tangent has a mask of its own. D1."""

    dtypes = Plain.dtypes
    meant_for = "gradient"
    cause = "own_mask"
    ops = ("dropout", "feature_alpha_dropout")
    where = "jvp"

    def jvp(self, fn, x, tangent):
        return super().jvp(fn, x, tangent)[0], super().jvp(fn, x, tangent)[1]


class OnesInEvaluationForward(Pullbacks):
    """The tangent in evaluation is 1, whatever it is taken along. D6."""

    dtypes = Plain.dtypes
    meant_for = "gradient"
    cause = "fact:tangents"
    ops = ("dropout",)
    where = "jvp"

    def jvp(self, fn, x, tangent):
        out, pushed = super().jvp(fn, x, tangent)
        evaluated = np.array_equal(out.values, x.values)
        return out, Array(np.ones_like(pushed.values), pushed.dtype) if evaluated else pushed


class TangentOfTheInput(Pullbacks):
    """In alpha dropout the tangent of a kept entry is not scaled. D5."""

    dtypes = Plain.dtypes
    meant_for = "gradient"
    cause = "slope:unscaled"
    ops = ("alpha_dropout",)
    where = "jvp"

    def jvp(self, fn, x, tangent):
        out, pushed = super().jvp(fn, x, tangent)
        return out, Array(np.where(pushed.values != 0, tangent.values, pushed.values), pushed.dtype)
