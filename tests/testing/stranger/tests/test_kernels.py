from kernels import dropout, fused_dropout
from torch import nn

from keeprate.testing import assert_dropout


def test_dropout():
    assert_dropout(dropout, profile="smoke")


def test_fused_dropout():
    assert_dropout(fused_dropout, like="dropout", profile="smoke")


def test_layer():
    assert_dropout(nn.Dropout2d, profile="smoke")
