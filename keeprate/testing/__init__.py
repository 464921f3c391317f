"""For the author of one operator: three lines in a test of one's own, with no adapter. docs/testing.md says more."""

from keeprate.testing.attention import assert_attention_dropout
from keeprate.testing.dropout import assert_dropout, score

__all__ = ["assert_attention_dropout", "assert_dropout", "score"]
