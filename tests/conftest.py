"""What all tests share: seeds that are fresh and printed, never chosen."""

import secrets

import pytest


@pytest.fixture
def fresh_seed():
    seed = secrets.randbits(31)
    print(f"fresh_seed = {seed}")  # pytest shows it when the test fails
    return seed
