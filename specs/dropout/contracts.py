"""What each operator promises, as data: the eight contracts, and those of operators that few frameworks have.

Shapes are written channels first, as PyTorch has them. A channel operator drops whole channels: one mask entry for each
sample and channel, (N, C), or (C,) where the rank counts as unbatched. An operator on rows drops them whole: one entry
for each of (N, …).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Contract:
    """One operator's promise.

    Args:
        name: the operator, as a backend spells it.
        granularity: what is dropped at once, an element, a channel or a row, which is all behind the first axis.
        reference: the PyTorch function, called as `(x, p, train)`.
        ranks: the ranks that PyTorch takes without a warning.
        unbatched: those of them that are one sample, channels in front.
        refused: ranks that PyTorch refuses in training.
        inplace: how a backend offers the operator's in-place form, if it has one: an operator's name, or the flag
            `inplace`.
        writes: it writes to its input.
        optional: few frameworks have it, and it is looked at more briefly.
        preserves_moments: mean and variance of a standard normal input are kept (alpha dropout).
    """

    name: str
    granularity: Literal["element", "channel", "row"]
    reference: str
    ranks: tuple[int, ...]
    unbatched: tuple[int, ...] = ()
    refused: tuple[int, ...] = ()
    inplace: str = "inplace"
    writes: bool = False
    preserves_moments: bool = False
    optional: bool = False

    @property
    def by_channel(self) -> bool:
        """True if more than an element is dropped at once: a channel, or a row."""
        return self.granularity != "element"

    def channel_axis(self, rank: int) -> int | None:
        """The last axis along which each has a draw of its own, channels first; None for element operators."""
        if not self.by_channel:
            return None
        return 0 if rank in self.unbatched or self.granularity == "row" else 1

    def moved_axis(self, rank: int) -> int | None:
        """The axis of the channels, which a layout has elsewhere; None where there are none."""
        return self.channel_axis(rank) if self.granularity == "channel" else None

    def mask_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """The shape of the mask for an input of `shape`: all of it, or up to the channel axis."""
        axis = self.channel_axis(len(shape))
        return shape if axis is None else shape[: axis + 1]

    def fronts(self, rank: int) -> tuple[slice | int, ...]:
        """The index of the first element of each channel, channels first; of all elements without channels."""
        kept = len(self.mask_shape((1,) * rank))
        return (slice(None),) * kept + (0,) * (rank - kept)


ANY_RANK, BATCHED = (0, 1, 2, 3, 4, 5), (2, 3, 4, 5)
F = "torch.nn.functional."

CONTRACTS = {
    contract.name: contract
    for contract in (
        Contract("dropout", "element", F + "dropout", ANY_RANK),
        Contract("dropout_", "element", "torch.dropout_", ANY_RANK, inplace="dropout_", writes=True),
        Contract("feature_dropout", "channel", "torch.feature_dropout", BATCHED, (), (0, 1), "feature_dropout_"),
        Contract("dropout1d", "channel", F + "dropout1d", (2, 3), unbatched=(2,), refused=(0, 1, 4, 5)),
        Contract("dropout2d", "channel", F + "dropout2d", (3, 4), refused=(0, 1)),
        Contract("dropout3d", "channel", F + "dropout3d", (4, 5), unbatched=(4,), refused=(0,)),
        Contract(
            "alpha_dropout", "element", F + "alpha_dropout", ANY_RANK, inplace="alpha_dropout_", preserves_moments=True
        ),
        Contract(
            "feature_alpha_dropout",
            "channel",
            F + "feature_alpha_dropout",
            BATCHED,
            refused=(0, 1),
            inplace="feature_alpha_dropout_",
            preserves_moments=True,
        ),
        # Gal & Ghahramani 2016: one mask for all steps of a sequence, (N, C, T); PyTorch has it under another name.
        Contract("variational_dropout", "channel", F + "dropout1d", (3,), optional=True),
        # Stochastic depth, and embeddings of words: PyTorch's is called on (N, 1, …), where a row is a channel.
        Contract("drop_path", "row", "torch.feature_dropout", (2, 3, 4), optional=True),
        Contract("embedding_dropout", "row", "torch.feature_dropout", (2,), optional=True),
    )
}
