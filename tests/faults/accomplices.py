"""Backends that change what they share with the reference, or with the code that reads their masks."""

import random
import sys

import numpy as np
import torch
from honest import Honest


class Meddling(Honest):
    says = ""  # why a case ends in an error; empty where every promise is kept
    innocent = 10  # calls before it begins

    def dropped(self, x, p):
        self.innocent -= 1
        if self.innocent < 0:
            self.meddle()
        return super().dropped(x, p)


class SetsTorchUp(Meddling):
    def meddle(self):
        torch.set_default_dtype(torch.float64)
        torch.set_num_threads(2)
        torch.set_grad_enabled(False)


class ReseedsGenerators(Meddling):
    def meddle(self):
        torch.manual_seed(0)
        np.random.seed(0)
        random.seed(0)


class FindsAllEqual(Meddling):
    says = "the backend replaced numpy.array_equal, which the judge uses"

    def meddle(self):
        np.array_equal = lambda *_: True


class TeachesTheReference(Meddling):
    """To do as it does."""

    says = "the backend replaced torch.nn.functional.dropout, which the judge uses"

    def meddle(self):
        torch.nn.functional.dropout = lambda x, p, train: x.clone()


class RewritesALaw(Meddling):
    says = "the backend replaced keeprate.specs.dropout.sample.compare, which the judge uses"

    def meddle(self):
        sys.modules["keeprate.specs.dropout.sample"].compare = lambda *_, **__: None
