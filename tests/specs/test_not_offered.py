"""An operator that raises `NotImplementedError` has no such call: that is said, and nothing else is lost."""

from types import SimpleNamespace

import keeprate
from keeprate.impl.backends import numpy as plain


def judged(dropout, seed):
    backend = SimpleNamespace(**{**vars(plain), "dropout": dropout})
    return keeprate.judge(backend, profile="smoke", ops="dropout", dtypes="float32", seed=seed)


def in_training(x, p, train):
    if not train:
        raise NotImplementedError("the kernel is for training")
    return plain.dropout(x, p, train)


def of_matrices(x, p, train):
    if x.ndim != 2:
        raise NotImplementedError("the kernel takes matrices")
    return plain.dropout(x, p, train)


def test_a_mode_that_is_not_there_leaves_all_else_to_be_judged(fresh_seed):
    verdict = judged(in_training, fresh_seed)
    lacking = {finding.law for finding in verdict if finding.status == "not_offered" and finding.context == "eager"}
    assert verdict.conforms, str(verdict)
    assert lacking == {"evaluation", "inplace"}
    assert "not offered: 1 finding, the kernel is for training" in str(verdict)


def test_ranks_that_are_not_there_are_no_refusals(fresh_seed):
    verdict = judged(of_matrices, fresh_seed)
    kept = {finding.law for finding in verdict if finding.status == "kept"}
    assert verdict.conforms, str(verdict)
    assert {"shape", "strides", "keep_rate", "modes", "seeding"} <= kept


def test_nothing_is_judged_of_an_operator_that_is_not_there_at_all(fresh_seed):
    def absent(x, p, train):
        raise NotImplementedError("it needs another device")

    verdict = judged(absent, fresh_seed)
    assert verdict.verdict == "none"
    assert "it needs another device" in str(verdict)
