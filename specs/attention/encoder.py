"""Where a layer of a transformer's encoder is looked at, and weights that let one of its four masks be seen.

The layer is out = y + D₂(w₂·D(relu(w₁·norm₂(y) + b₁)) + b₂), y = x + D₁(wₒ·attention(norm₁(x)) + bₒ), with dropout D,
and in the weights of attention as well. All weights that don't show the mask are 0. The masks of attention's weights
and of hidden units lie below another one: each unit of the output that this one keeps shows them, as a whole number.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from keeprate.specs.attention.place import Channels, Mask, in_words
from keeprate.specs.neighbours import turned
from keeprate.specs.rounding import Floats
from keeprate.suite import Case

OPERATOR = "encoder_layer"
HEADS, HIDDEN = 2, 8
BITS = 4  # keys, or hidden units, that a unit of the output shows
WEIGHTS, ATTENDED, INSIDE, OUTPUT, BOTH = range(5)  # where it drops, in the order of the draws; the second and last
SITES = ("weights", "attended", "hidden units", "output")
BIAS = {ATTENDED: (1.0, 0.0), INSIDE: (0.0, 0.0), OUTPUT: (0.0, 1.0), BOTH: (1.0, 2.0)}  # bₒ and b₂
GAIN = 1 / 8  # of norm₁: what is ±1 in two of 128 units is normalised to ±8
APART = 2.0  # of random weights, b₁: hidden units are far from where a relu has its kink
FAINT = 0.1  # what w₁ is multiplied by then


@dataclass(frozen=True)
class Encoder:
    """A layer that normalises first, with relu, two heads and eight hidden units.

    Args:
        shape: of its input: samples, tokens, units.
        p: the rate.
        site: which of its masks is looked at, or two together.
    """

    parts: ClassVar[tuple[str, ...]] = ("inputs",)
    causal: ClassVar[bool] = False
    shared: ClassVar[int] = 1
    spread: ClassVar[float] = 0.25  # of random weights and inputs
    op: ClassVar[str] = OPERATOR

    shape: tuple[int, int, int]
    dtype: str
    p: float
    site: int

    @classmethod
    def of(cls, case: Case) -> Encoder:
        """Where a case looks."""
        batch, tokens, units = case.shape
        parameters = case.parameters
        return cls((batch, tokens, units), case.dtype, parameters.get("p", 0.5), int(parameters.get("site", OUTPUT)))

    @property
    def mask_shapes(self) -> tuple[tuple[int, ...], ...]:
        """Of all masks, in the order of the draws."""
        batch, tokens, _ = self.shape
        return (batch, HEADS, tokens, tokens), self.shape, (batch, tokens, HIDDEN), self.shape

    @property
    def mask_shape(self) -> tuple[int, ...]:
        """Of the mask that is looked at."""
        return self.shape if self.site == BOTH else self.mask_shapes[self.site]

    @property
    def axes(self) -> tuple[str, ...]:
        """What shares a mask along each of its axes."""
        if self.site == WEIGHTS:
            return "all samples of a batch", "all heads of a sample", "all queries of a head", "all keys of a query"
        return "all samples of a batch", "all tokens of a sample", "all units of a token"

    @property
    def seen(self) -> Mask:
        """Where a mask has entries: everywhere."""
        return np.ones(self.mask_shape[1:], dtype=np.bool_)

    def entries(self, mask: Mask) -> Mask:
        """`mask` as `mask_shape` has it."""
        return mask

    @property
    def codes(self) -> int:
        """The largest whole number that a unit of the output shows: that of a mask that keeps all."""
        return {WEIGHTS: (1 << BITS) - 1, INSIDE: (1 << BITS) - 1, BOTH: 3}.get(self.site, 1)

    def function(self, backend: Any, p: float, train: bool) -> Callable[[Any], Any]:
        """A backend's layer, of one array: inputs and weights in rows."""
        return lambda x: backend.encoder_layer(*self.unpacked(x), HEADS, p, train)

    def packed(self, function: Callable[..., Any]) -> Callable[[Any], Any]:
        """The same."""
        return function

    def parted(self, gradient: npt.NDArray[Any]) -> list[npt.NDArray[Any]] | None:
        """The gradient of one array; None if it has another shape."""
        return [gradient] if gradient.shape == self._rows else None

    @cached_property
    def rows(self) -> dict[str, slice]:
        """Where inputs and weights stand in the one array; of w₂ its transpose, of b₁ with zeros behind it."""
        batch, tokens, units = self.shape
        sizes = {
            "x": batch * tokens,
            "w_in": 3 * units, "b_in": 3, "w_out": units, "b_out": 1,
            "w_1": HIDDEN, "b_1": 1, "w_2": HIDDEN, "b_2": 1,
            "norm_1": 1, "shift_1": 1, "norm_2": 1, "shift_2": 1,
        }  # fmt: skip
        ends = np.cumsum([*sizes.values()]).tolist()
        return {name: slice(end - size, end) for (name, size), end in zip(sizes.items(), ends, strict=True)}

    @property
    def _rows(self) -> tuple[int, int]:
        return self.rows["shift_2"].stop, self.shape[2]

    def unpacked(self, x: Any) -> tuple[Any, tuple[Any, ...]]:
        """Inputs (samples, tokens, units), and weights and biases as `torch.nn.TransformerEncoderLayer` lists them."""
        units = self.shape[2]
        part = {name: x[rows] for name, rows in self.rows.items()}
        flat = {name: part[name].reshape(units) for name in ("b_out", "b_2", "norm_1", "shift_1", "norm_2", "shift_2")}
        first = part["w_in"], part["b_in"].reshape(3 * units), part["w_out"], flat["b_out"]
        second = part["w_1"], part["b_1"].reshape(units)[:HIDDEN], turned(part["w_2"]), flat["b_2"]
        norms = (flat[name] for name in ("norm_1", "shift_1", "norm_2", "shift_2"))
        return part["x"].reshape(*self.shape), (*first, *second, *norms)

    def shapes(self, channels: Channels) -> tuple[list[tuple[int, ...]], tuple[int, ...]]:
        """Of the one array and of a cotangent, for a pass on random numbers."""
        return [self._rows], self.shape

    def apart(self, x: Floats) -> Floats:
        """Random inputs and weights with hidden units apart from 0, where rounding would decide what a relu does."""
        x = x.copy()
        x[self.rows["w_1"]] *= FAINT
        x[self.rows["b_1"]] += np.copysign(APART, x[self.rows["b_1"]])
        return x

    def inputs(self, channels: Channels) -> list[Floats]:
        """Inputs and weights whose output shows the mask."""
        return [self._packed]

    @cached_property
    def _packed(self) -> Floats:
        x, rows = np.zeros(self._rows), self.rows
        x[rows["norm_1"]], x[rows["norm_2"]] = GAIN, 1.0
        powers = np.exp2(np.arange(BITS, dtype=np.float64))
        if self.site == WEIGHTS:
            self._tell_tokens_apart(x, powers)
        else:
            x[rows["b_out"]], x[rows["b_2"]] = BIAS[self.site]
        if self.site == INSIDE:
            x[rows["b_1"]] = 1.0
            for unit in range(HIDDEN):
                x[rows["w_2"].start + unit, unit // BITS :: HIDDEN // BITS] = powers[unit % BITS]
        return x

    def _tell_tokens_apart(self, x: Floats, powers: Floats) -> None:
        """Token j is 1 in one unit and −1 in another, its value 2^j in one channel of each head."""
        tokens, units, channels = self.shape[1], self.shape[2], self.shape[2] // HEADS
        every = np.arange(tokens)
        given = x[self.rows["x"]].reshape(self.shape)
        given[:, every, every], given[:, every, tokens + every] = 1.0, -1.0
        x[self.rows["x"]] = given.reshape(-1, units)
        for head in range(HEADS):
            x[self.rows["w_in"].start + 2 * units + head * channels, :tokens] = powers[:tokens]
            # Those that are no inputs show the code, by turns that of each head.
            x[self.rows["w_out"]][2 * tokens :][head::HEADS, head * channels] = 1.0

    @property
    def shows(self) -> slice:
        """The units of an output that show the mask."""
        return slice(2 * self.shape[1] if self.site == WEIGHTS else 0, None)

    @property
    def gradient_rows(self) -> slice:
        """Where the gradient shows the mask: of values' weights, or of a bias."""
        units = self.shape[2]
        if self.site == WEIGHTS:
            return slice(self.rows["w_in"].start + 2 * units, self.rows["w_in"].stop)
        return self.rows[{ATTENDED: "b_out", INSIDE: "b_1"}.get(self.site, "b_2")]

    def windows(self, channels: Channels) -> list[Encoder]:
        """Where gradients are read: in one pass."""
        return [self]

    def turns(self, channels: Channels) -> dict[str, tuple[list[Floats], Floats]]:
        """Inputs and weights, and a cotangent of the first token and the last, for a gradient that shows the mask."""
        cotangent = np.zeros(self.shape)
        cotangent[0, 0], cotangent[-1, -1] = 1.0, 2.0
        return {"inputs": (self.inputs(channels), cotangent)}

    def told(self, index: Sequence[int]) -> str:
        """A place in an output, or in a gradient, in words."""
        if len(index) == 2:
            return f"in row {index[0]}, column {index[1]}"
        sample, token, unit = index
        return f"at token {token} of sample {sample}, unit {unit}"

    def found(self, what: str, code: float) -> str:
        """What stands in an output or gradient, in words."""
        return in_words(code, "entry" * (what == "output" and self.codes > 1))
