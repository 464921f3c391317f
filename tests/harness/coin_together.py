"""The suite for a coin, in which the throws of all coins are judged together as well."""

from coin import Coin


class Together(Coin):
    together = {"fair": 0.1}  # noqa: RUF012 - as a suite writes it


suite = Together()
