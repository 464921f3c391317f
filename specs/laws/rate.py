"""How often an entry is kept."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.suite import law
from harness.tally import Tally

if TYPE_CHECKING:  # the samples need PyTorch, the laws themselves do not
    from specs.gradients import Gradients
    from specs.sample import Masks


@law(source="torch.nn.functional.dropout: an entry is zeroed with probability p")
def keep_rate(sample: Masks | Gradients) -> Tally:
    """An entry is kept with probability 1 − p.

    Counts what was kept and dropped over all calls. Catches a mask drawn in a narrow dtype, p and 1 − p swapped, a keep
    rate rounded to 8 bits. Blind to where the drops fall: see `neighbours`.
    """
    kept = sample.mask.kept
    return Tally(
        cells=("kept", "dropped"),
        counts=(kept, sample.mask.draws - kept),
        probabilities=(1 - sample.p, sample.p),
        departure="rate",
    )
