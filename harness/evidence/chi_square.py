"""Pearson's chi-square, which people know; no verdict rests on it."""

from __future__ import annotations

import numpy as np

from keeprate.harness.evidence.likelihood import Array

_POOLED = 10  # the approximation is used for expected counts from here on


def pearson(counts: Array, expected: Array) -> tuple[float, int]:
    """Chi-square over all groups, and its degrees of freedom; counts are (groups, cells).

    Cells are pooled in each group, from the rarest on, to an expected count of at least 10; equally rare ones together.
    Where all would be one pool, those below 10 are told from the others, as if 10 were expected: that is cautious.
    """
    order = np.argsort(expected, axis=1)
    expected, counts = (np.take_along_axis(table, order, 1) for table in (expected, counts))
    begins = np.diff(expected, axis=1, prepend=-1) > 0  # of those that are equally rare the first
    first = np.maximum.accumulate(np.where(begins, np.arange(expected.shape[1]), 0), axis=1)
    smaller = np.take_along_axis(np.cumsum(expected, axis=1) - expected, first, 1)
    pooled = (expected < _POOLED) | ((smaller > 0) & (smaller < _POOLED))
    pool, off = (expected * pooled).sum(axis=1), counts - expected
    terms = np.where(pooled, 0, off**2 / np.maximum(expected, _POOLED)).sum(axis=1)
    terms += (off * pooled).sum(axis=1) ** 2 / np.maximum(pool, _POOLED)
    freedom = np.maximum((~pooled).sum(axis=1) - (pool == 0), 0)
    rare = expected < _POOLED
    two = (freedom == 0) & rare.any(axis=1) & ~rare.all(axis=1)
    terms = np.where(two, (off * rare).sum(axis=1) ** 2 / _POOLED, terms)
    freedom = np.where(two, 1, freedom)
    return float(terms[freedom > 0].sum()), int(freedom.sum())
