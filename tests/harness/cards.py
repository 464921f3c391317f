"""A suite whose laws return evidence of kinds that keeprate has never heard of, and decks to judge by it."""

import math
import random
from collections import Counter
from dataclasses import dataclass

import msgspec

from keeprate.suite import Case, Count, Evidence, Interval, Statistic, Suite, evidence_kind, law

DEALS = 1000  # in one sample
DECK = 52


@evidence_kind("cards.bets")
@dataclass(frozen=True)
class Bets(Statistic):
    """The fortune of a gambler who bets that aces come more, or less, often than they should."""

    won: Count
    lost: Count
    chance: float
    deck: str = ""

    amounts = ("won", "lost")
    is_composite = False

    @property
    def n(self):
        return self.won + self.lost

    @property
    def log10_e(self):
        stakes = [part * self.chance for part in (0.5, 1.5)]
        return math.log10(sum(10 ** min(300, self._gain(stake)) for stake in stakes) / len(stakes))

    def _gain(self, stake):
        return self.won * math.log10(stake / self.chance) + self.lost * math.log10((1 - stake) / (1 - self.chance))

    statistic = property(lambda self: self.n * (self.estimate - self.chance) ** 2 / self.chance / (1 - self.chance))
    p_value = property(lambda self: math.erfc(math.sqrt(self.statistic / 2)))
    estimate = property(lambda self: self.won / self.n)
    expected = property(lambda self: self.chance)
    where = property(lambda self: "aces")
    alike = property(lambda self: (self.kind, self.chance))

    def interval(self, alpha):
        return Interval(0.0, 1.0)

    def detectable(self, alpha):
        return self.chance / 2

    def __add__(self, other):
        if self.alike != other.alike:
            raise ValueError("other bets")
        return Bets(self.won + other.won, self.lost + other.lost, self.chance, self.deck)

    @classmethod
    def pool(cls, parts, labels, planned=0):
        return Bets(sum(one.won for one in parts), sum(one.lost for one in parts), parts[0].chance)

    def to_json(self):
        return {"type": self.kind, "won": self.won, "lost": self.lost, "chance": self.chance, "deck": self.deck}

    @classmethod
    def from_json(cls, data):
        return msgspec.convert(data, cls)


@evidence_kind("cards.hands")
@dataclass(frozen=True)
class Hands(Evidence):
    """How many hands had a card twice, and the first of these."""

    dealt: Count
    double: Count
    first_card: str = ""

    amounts, of_a_run, is_exact = ("dealt", "double"), ("first_card",), True

    n = property(lambda self: self.dealt)
    strength = property(lambda self: float(self.double))
    where = property(lambda self: self.first_card)
    alike = property(lambda self: (self.kind,))

    @property
    def detail(self):
        counts = {"checked": self.dealt, "exact": self.dealt - self.double, "wrong": self.double}
        return {**counts, "first": {"card": self.first_card} if self.double else None, "counterexample": None}

    def reaches(self, threshold):
        return self.double > 0

    def rows(self, level):
        return [("twice", f"{self.first_card}, in {self.double:,} of {self.dealt:,} hands")]

    def __add__(self, other):
        return Hands(self.dealt + other.dealt, self.double + other.double, self.first_card or other.first_card)

    @classmethod
    def pool(cls, parts, labels, planned=0):
        return sum(parts[1:], parts[0])

    def to_json(self):
        return {"type": self.kind, "dealt": self.dealt, "double": self.double, "first_card": self.first_card}

    @classmethod
    def from_json(cls, data):
        return msgspec.convert(data, cls)


@law(promise="An ace is as likely as any card.", catches=("a marked deck",), blind_to=("suits",), source="a deck")
def aces(hands):
    """Counts the hands that begin with an ace."""
    won = sum(hand[0] % 13 == 0 for hand in hands)
    return Bets(won, len(hands) - won, 1 / 13)


@law(promise="No card is dealt twice.", catches=("a card up a sleeve",), blind_to=("order",), source="a deck")
def once(hands):
    """Looks at every hand."""
    double = [card for hand in hands for card, number in Counter(hand).items() if number > 1]
    return Hands(len(hands), len(double), f"card {double[0]}" if double else "")


class Cards(Suite):
    name, laws, headline, weights = "cards", (once, aces), "aces", {"aces": 1.0}

    def plan(self, profile):
        for size in (2, 5):
            ids = f"deal/aces/-/size{size}/-/table", "deal/once/-/-/-/table"
            yield Case("deal", "-", {"size": size}, (), "table", "hands", 20 * DEALS, None, ids)

    def sample(self, case, backend, seed):
        backend.seed(seed)
        for _ in range(case.draws // DEALS):
            yield [backend.deal(case.parameters["size"]) for _ in range(DEALS)]


class Honest:
    name = "deck"

    def __init__(self):
        self.random = random.Random()

    def seed(self, value):
        self.random.seed(value)

    def deal(self, size):
        return self.random.sample(range(DECK), size)


class Marked(Honest):
    """An ace comes first in one hand of five more."""

    def deal(self, size):
        hand = super().deal(size)
        return [0, *hand[1:]] if self.random.random() < 0.2 else hand
