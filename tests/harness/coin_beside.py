"""The suite for a coin, with a fair coin as the reference."""

from pathlib import Path

from coin import Coin


class Beside(Coin):
    reference = f"{Path(__file__).with_name('coins.py')}:Fair"


suite = Beside()
