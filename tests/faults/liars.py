"""Backends that behave well only when they are looked at, or only where."""

import sys
import time

import numpy as np
from honest import Honest

START = time.time()
JUDGE = ("harness/", "specs/")


def wrong(x, p):
    """What no framework does: nothing is dropped, and nothing is scaled."""
    return x.copy()


class Calls(Honest):
    """Counts its calls."""

    number = 0

    def dropped(self, x, p):
        self.number += 1
        return self.lied(x, p) if self.lies() else super().dropped(x, p)

    def lied(self, x, p):
        return wrong(x, p)

    def lies(self):
        return False


# Found, for the harness looks there


NUMBER = np.arange(32)
PROBES = np.ldexp(1 + (NUMBER % 8 + NUMBER * (5**0.5 / 2 + 0.5) % 1) / 8, NUMBER // 8 * 2 - 3).astype(np.float32)


class LiesAboutProbes(Honest):
    """Returns its input where it holds the values that the harness uses."""

    found = ("outcomes",)

    def dropped(self, x, p):
        return wrong(x, p) if np.isin(PROBES, x).all() else super().dropped(x, p)


class LiesAboutNegatives(Honest):
    """Drops more of them."""

    found = ("keep_rate",)

    def dropped(self, x, p):
        out = super().dropped(x, p)
        kept = self.random.random(x.shape) >= 0.02
        return np.where(x < 0, out * kept, out).astype(np.float32)


class LiesAboutShapes(Honest):
    """Of rank 5, as in `shape`."""

    found = ("shape",)

    def dropped(self, x, p):
        return wrong(x, p) if x.ndim == 5 else super().dropped(x, p)


class LiesLater(Calls):
    """From its fiftieth call on."""

    found = ("outcomes",)

    def lies(self):
        return self.number > 50


class LiesNowAndThen(Calls):
    """NaN in every hundredth call."""

    found = ("outcomes",)

    def lies(self):
        return self.number % 100 == 0

    def lied(self, x, p):
        return np.full_like(x, np.nan)


class LosesItsShapeNowAndThen(LiesNowAndThen):
    found = ("outcomes",)

    def lied(self, x, p):
        return wrong(x, p)[..., :-1]


class CachesBySeed(Calls):
    """Plays back what it once answered after the same seed, whatever it is asked now."""

    found = ("seeding",)
    answers, value, number = None, None, 0

    def seed(self, value):
        super().seed(value)
        self.answers = self.answers or {}
        self.value, self.number = value, 0

    def dropped(self, x, p):
        self.number += 1
        key = self.value, self.number, x.shape, p
        return self.answers.setdefault(key, Honest.dropped(self, x, p)).copy()


class WritesToItsInputLater(Honest):
    """Keeps a view of it, and writes to that in the next call."""

    found = ("purity",)
    view = None

    def dropped(self, x, p):
        if self.view is not None and self.view.size:
            self.view[...] = 0
        self.view = x.reshape(-1)[:1]
        return super().dropped(x, p)


class CallsEverythingEqual(Honest):
    """Its outputs are arrays of a kind of its own, for which every comparison comes out well."""

    found = ("outcomes",)

    class Equal(np.ndarray):
        def __array_ufunc__(self, ufunc, method, *inputs, out=None, **options):
            if ufunc in (np.equal, np.not_equal) and out is not None:
                self.mask = getattr(self, "mask", np.random.default_rng().random(self.shape) >= 0.3)
                out[0][...] = self.mask
                return out[0]
            plain = [np.asarray(item) if isinstance(item, np.ndarray) else item for item in inputs]
            return getattr(ufunc, method)(*plain, **({"out": out} if out else {}), **options)

    def dropped(self, x, p):
        return wrong(x, p)

    def asnumpy(self, x):
        return x.view(self.Equal)


# Not found: see docs/threats.md


class KnowsItsJudge(Honest):
    """Lies unless the judge is among its callers."""

    def dropped(self, x, p):
        frame, judged = sys._getframe(), False
        while frame := frame.f_back:
            judged = judged or any(folder in frame.f_code.co_filename for folder in JUDGE)
        return super().dropped(x, p) if judged else wrong(x, p)


class KnowsTheProbes(Honest):
    """Lies about any value that the harness does not use."""

    def dropped(self, x, p):
        used = np.isin(np.abs(x), (*PROBES, 0, np.inf)) | np.isnan(x) | (np.abs(x) < np.finfo(np.float32).tiny)
        return super().dropped(x, p) if used.all() else wrong(x, p)


class LiesAboutOtherShapes(Honest):
    """Of a size that is not in the plan."""

    def dropped(self, x, p):
        return wrong(x, p) if x.size > 1 << 26 else super().dropped(x, p)


class LiesMuchLater(Calls):
    """After more calls than the plan makes."""

    def lies(self):
        return self.number > 10**7


class LiesRarely(Calls):
    """In every hundred-thousandth call."""

    def lies(self):
        return self.number % 10**5 == 0


class LiesTomorrow(Calls):
    def lies(self):
        return time.time() > START + 86400


class RepairsItsOutput(Honest):
    """The operator is wrong; what hands its values over puts them right."""

    class Wrong(np.ndarray):
        right = None

    def dropped(self, x, p):
        out = wrong(x, p).view(self.Wrong)
        out.right = super().dropped(x, p)
        return out

    def asnumpy(self, x):
        return x if getattr(x, "right", None) is None else x.right
