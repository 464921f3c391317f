"""Every law of the suite: those of any mask, and the exact ones that attention adds; what breaks others comes first."""

from __future__ import annotations

from dataclasses import replace

from keeprate.specs.attention.sample import UNREADABLE, Seen
from keeprate.specs.masks.every import LAWS as OF_MASKS
from keeprate.suite import Check, Law, Tally, Unreadable, law

SOURCE = "torch.nn.functional.scaled_dot_product_attention"


def _of(sample: Seen, name: str) -> Check:
    if name not in sample.checks or (sample.unreadable and not sample.checks[name].checked):
        raise Unreadable(UNREADABLE)
    return sample.checks[name]


@law(
    promise="Each weight of a key is kept and scaled by 1/(1 − p), or dropped; one that is hidden is neither.",
    catches=(
        "a missing or doubled scale",
        "weights that are renormalised after dropping",
        "dropout of scores in place of weights",
        "a causal mask that dropout undoes",
    ),
    blind_to=("how often a weight is dropped: see `keep_rate`", "weights that differ: see `replayed`"),
    source=f"{SOURCE}: attn_weight = torch.dropout(torch.softmax(attn_weight), dropout_p)",
)
def outcomes(sample: Seen) -> Check:
    """Reads outputs for scores of zero as whole numbers, whose bits are the mask."""
    return _of(sample, "outcomes")


@law(
    promise="The gradients of queries, keys and values have the output's mask.",
    catches=(
        "a backward pass that draws or computes another mask",
        "a backward pass keyed by (key, query) in place of (query, key)",
        "a gradient without the mask",
    ),
    blind_to=("scores that differ: see `replayed`",),
    source=f"{SOURCE}: the derivative of the operator for its own mask",
)
def gradient(sample: Seen, of: str) -> Check:
    """Reads the mask off a gradient, and compares it with the one of its own output, entry by entry."""
    return _of(sample, f"gradient:{of}")


@law(
    promise="Whatever the scores, output and gradients are PyTorch's for the mask that the seed decides.",
    catches=("a mask that depends on the scores", "a wrong scale of the scores", "a gradient of the wrong argument"),
    blind_to=("errors below twice PyTorch's own rounding",),
    source=f"{SOURCE}, under the same mask",
    rests_on=("seeding",),
)
def replayed(sample: Seen) -> Check:
    """Reads the mask after a seed, and lets PyTorch compute with it what the same seed gives on random numbers."""
    return _of(sample, "replayed")


@law(
    promise="In evaluation nothing is dropped or scaled.",
    catches=("dropout that stays on in evaluation",),
    blind_to=("training",),
    source=f"{SOURCE}: dropout_p is to be 0 in evaluation, as torch.nn.MultiheadAttention has it",
)
def evaluation(sample: Seen) -> Check:
    """Calls with several p on random numbers."""
    return _of(sample, "evaluation")


@law(
    promise="In training p = 0 keeps everything and p = 1 drops everything, in output and gradients.",
    catches=("a division by 1 − p = 0", "p = 1 taken as the identity"),
    blind_to=("every p between",),
    source=f"{SOURCE} at p = 0 and p = 1",
)
def endpoints(sample: Seen) -> Check:
    """Calls at both ends on random numbers."""
    return _of(sample, "endpoints")


@law(
    promise="Output and gradients have the dtype of what is given.",
    catches=("a result promoted to float32",),
    blind_to=("the dtype in which weights are computed",),
    source=f"{SOURCE}: the output has the dtype of the query",
)
def dtype(sample: Seen) -> Check:
    """Asks for the dtype of what came back."""
    return _of(sample, "dtype")


@law(
    promise="A p that is no probability is refused.",
    catches=("a p that is clipped silently", "NaN accepted as a probability"),
    blind_to=("which exception is raised",),
    source=f"{SOURCE}: dropout probability has to be between 0 and 1",
)
def arguments(sample: Seen) -> Check:
    """Calls with p below 0, above 1 and NaN."""
    return _of(sample, "arguments")


@law(
    promise="Queries, keys and values are not written to.",
    catches=("a product in place",),
    blind_to=("a write that is undone before they are read again",),
    source=SOURCE,
)
def purity(sample: Seen) -> Check:
    """Compares them after the calls with what they were."""
    return _of(sample, "purity")


@law(
    promise="A seed decides all masks after it; evaluation and p = 0 draw nothing.",
    catches=("a seed that is ignored", "an address taken for a seed", "a call at p = 0 that moves the generator"),
    blind_to=("how the masks of different seeds are related: see `streams`",),
    source="torch.manual_seed: sets the seed for generating random numbers",
)
def seeding(sample: Seen) -> Check:
    """Seeds twice alike and once otherwise, and calls in evaluation and at p = 0 in between."""
    return _of(sample, "seeding")


@law(
    promise="Each place of a network that drops has a mask of its own, and each gap between layers one for each step.",
    catches=("one mask for all gaps", "a gap that has no mask", "one key for two places of an encoder layer"),
    blind_to=("two masks that are swapped",),
    source="torch.nn.LSTM, dropout: a Dropout layer on the outputs of each LSTM layer except the last",
    rests_on=("outcomes",),
)
def gaps(sample: Seen) -> Tally:
    """Counts, of two places, what the last one drops, and of what it keeps what the first one dropped."""
    if sample.gaps is None:
        raise Unreadable(UNREADABLE)
    p = sample.p
    cells = ("dropped by the last", "dropped by the first alone", "kept by both")
    return Tally(cells, sample.gaps, (p, (1 - p) * p, (1 - p) ** 2))


LAWS: tuple[Law, ...] = (
    outcomes,
    *(replace(law, rests_on=("outcomes",)) for law in OF_MASKS),
    gaps,
    gradient,
    evaluation,
    endpoints,
    dtype,
    arguments,
    purity,
    seeding,
    replayed,
)
