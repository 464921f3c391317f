"""The suite for a coin, with a fair coin as the reference."""

from pathlib import Path

from coin import headline, laws, plan, sample

reference = f"{Path(__file__).with_name('coins.py')}:Fair"

__all__ = ["headline", "laws", "plan", "reference", "sample"]
