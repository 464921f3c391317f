"""The suite for a coin, with a picture of its throws."""

from coin import Coin

from keeprate.suite import Picture


class Drawn(Coin):
    def picture(self, case, backend, seed):
        sides, _ = next(self.sample(case, backend, seed))
        return Picture("throws; dark is heads", ("".join(map(str, sides[:80])),))


suite = Drawn()
