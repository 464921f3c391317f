"""What else a backend can be asked for, beside one operator in one dtype."""

from __future__ import annotations

from typing import Any

from keeprate.specs.dropout.contracts import CONTRACTS, Contract
from keeprate.specs.foreign import dtypes_of


def another_dtype(backend: Any, contract: Contract, dtype: str) -> str | None:
    """Another dtype of the operator; None if it has no other."""
    return next((other for other in dtypes_of(backend, contract.name) if other != dtype), None)


def another_operator(backend: Any, contract: Contract, dtype: str) -> Contract | None:
    """Another operator of the backend that drops alike and knows `dtype`, of other moments if there is one."""
    alike = [
        other
        for other in CONTRACTS.values()
        if other is not contract
        and other.granularity == contract.granularity
        and not (other.writes or other.optional)
        and callable(getattr(backend, other.name, None))
        and dtype in dtypes_of(backend, other.name)
    ]
    return min(alike, key=lambda other: other.preserves_moments == contract.preserves_moments, default=None)
