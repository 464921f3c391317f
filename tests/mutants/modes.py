"""The training flag, and what an operator remembers of it."""

import numpy as np
from plain import Plain


class DropsInEvaluation(Plain):
    """The flag is ignored. I1."""

    meant_for = "evaluation"
    cause = ("evaluation_drops", "mode_training")
    ops = ("dropout", "feature_dropout")

    def apply(self, x, p, train, inplace, shape_of_mask, formula):
        return super().apply(x, p, True, inplace, shape_of_mask, formula)


class OneBeforeTheFlag(Plain):
    """p = 1 is looked at before the flag: zeros in evaluation. I3."""

    meant_for = "evaluation"
    cause = "fact"
    ops = ("dropout3d",)

    def evaluated(self, x, p):
        with np.errstate(all="ignore"):
            return self.result(x, *self.all_dropped(x)) if p == 1 else x


class StaysInEvaluation(Plain):
    """One call in evaluation, and nothing is dropped any more until the next seed. I2."""

    meant_for = "seeding"
    cause = "mode_evaluation"
    ops = ("dropout",)

    def seed(self, value):
        super().seed(value)
        self.training = True

    def evaluated(self, x, p):
        self.training = False
        return x

    def draw(self, shape, p):
        return super().draw(shape, p) | (not self.training)


class StaysInEvaluationForGood(StaysInEvaluation):
    """One call in evaluation, and nothing is ever dropped again. I2."""

    cause = ("mode_evaluation", "mode_never", "rate:none")

    def __init__(self):
        super().__init__()
        self.training = True

    def seed(self, value):
        Plain.seed(self, value)
