"""The suite for a coin, in which nobody asks what it lands on."""

from coin import Coin


class Blind(Coin):
    def plan(self, profile):
        return [case.replace(findings=case.findings[:1]) for case in super().plan(profile)]


suite = Blind()
