"""A random state that is saved, and doesn't give its masks again when it is put back."""

import copy

import numpy as np
from faithful import Stateful


class StateMovesOn(Stateful):
    """The state that is given is the generator itself, which moves on. No row: nobody has reported it yet."""

    meant_for = "state"
    cause = "state_lost"
    ops = ("dropout", "dropout2d")

    def get_state(self):
        return self.random

    def set_state(self, state):
        self.random = state


class StateUsedUp(StateMovesOn):
    """A state that was put back is drawn from: the second time it has moved on. No row: nobody has reported it yet."""

    cause = "state_spent"
    ops = ("alpha_dropout",)

    def get_state(self):
        return copy.deepcopy(self.random)


class AheadOfTheState(Stateful):
    """Numbers that were drawn ahead are no part of the state. No row: nobody has reported it yet."""

    meant_for = "state"
    cause = "state_lost"
    ops = ("dropout",)

    def seed(self, value):
        super().seed(value)
        self.ahead = np.empty(0)

    def uniform(self, size):
        while self.ahead.size < size:
            self.ahead = np.concatenate([self.ahead, super().uniform(10_007)])
        numbers, self.ahead = self.ahead[:size], self.ahead[size:]
        return numbers


class RestOfAWord(Stateful):
    """Two numbers come from a word, and the second is no part of the state. No row: nobody has reported it yet."""

    meant_for = "state"
    cause = "state_in_part"
    ops = ("dropout", "feature_dropout")

    def seed(self, value):
        super().seed(value)
        self.rest = np.empty(0)

    def uniform(self, size):
        more = super().uniform(max(0, size - self.rest.size + 1) // 2 * 2)
        numbers = np.concatenate([self.rest, more])
        self.rest = numbers[size:]
        return numbers[:size]


class CompiledStateApart(Stateful):
    """Compiled functions have a state that is seeded, and not saved. No row: nobody has reported it yet."""

    meant_for = "state"
    cause = "state_lost"
    ops = ("dropout",)
    where = "compile"

    def seed(self, value):
        super().seed(value)
        self.second = self.generator(None if value is None else [value, 1])

    def compile(self, fn):
        def call(*arguments):
            self.random, self.second = self.second, self.random
            try:
                return fn(*arguments)
            finally:
                self.random, self.second = self.second, self.random

        return call
