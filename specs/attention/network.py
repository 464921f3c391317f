"""Where a recurrent network is looked at, its weights, and how the masks between its layers are read off its output.

The gates of every layer are open, or closed, by their biases: a unit is tanh(tanh(w·x + b)) of an LSTM's input at this
step, tanh(w·x + b) of a GRU's, and remembers nothing. So an output is one of a few values, by what was dropped on the
way to it, and a gradient is as well; PyTorch says which (`levels`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from keeprate.specs.attention.place import Channels, Mask, in_words
from keeprate.specs.rounding import Floats
from keeprate.suite import Case

OPERATORS = ("lstm_dropout", "gru_dropout")
GATES = {"lstm_dropout": "ifgo", "gru_dropout": "rzn"}  # in PyTorch's order
OPEN = {"i": 100.0, "f": -100.0, "o": 100.0, "r": 0.0, "z": -100.0}  # biases; e⁻¹⁰⁰ adds to nothing
INPUT = 0.5  # of the first layer
REACH = 1.5  # by which a kept unit is multiplied on its way through a layer: a tanh of that is far from 0 and 1
BETWEEN = (0.3, 1.5)  # a layer that shows a dropped unit too: its bias, and the same
SPREAD = 0.4  # of random weights and inputs


@dataclass(frozen=True)
class Network:
    """A stack of recurrent layers with as many units as inputs.

    Args:
        shape: of the mask of a gap: steps, batch, units.
        p: the rate that its weights are made for.
        layers: between which there is one gap less.
    """

    parts: ClassVar[tuple[str, ...]] = ("inputs",)
    axes: ClassVar[tuple[str, ...]] = ("all steps of a sequence", "all samples of a batch", "all units of a layer")
    causal: ClassVar[bool] = False
    shared: ClassVar[int] = 1
    spread: ClassVar[float] = SPREAD

    op: str
    shape: tuple[int, int, int]
    dtype: str
    p: float
    layers: int

    @classmethod
    def of(cls, case: Case) -> Network:
        """Where a case looks."""
        steps, batch, units = case.shape
        layers = int(case.parameters.get("layers", 2))
        return cls(case.op, (steps, batch, units), case.dtype, case.parameters.get("p", 0.5), layers)

    @property
    def mask_shape(self) -> tuple[int, ...]:
        """The shape of the mask of a gap."""
        return self.shape

    @property
    def seen(self) -> Mask:
        """(batch, units) where a mask has entries: everywhere."""
        return np.ones(self.shape[1:], dtype=np.bool_)

    def entries(self, mask: Mask) -> Mask:
        """`mask` as `mask_shape` has it."""
        return mask

    def function(self, backend: Any, p: float, train: bool) -> Callable[[Any], Any]:
        """A backend's operator, of one array: inputs and weights, as `packed_rows` has them."""
        operator = getattr(backend, self.op)
        return lambda x: operator(*self.unpacked(x), p, train)

    def packed(self, function: Callable[..., Any]) -> Callable[[Any], Any]:
        """The same."""
        return function

    def parted(self, gradient: npt.NDArray[Any]) -> list[npt.NDArray[Any]] | None:
        """The gradient of one array; None if it has another shape."""
        return [gradient] if gradient.shape == self._rows else None

    @cached_property
    def _ends(self) -> list[int]:
        """Where inputs, and of each layer both weights and both biases, begin and end in rows of the one array."""
        steps, batch, units = self.shape
        gates = len(GATES[self.op])
        sizes = [steps * batch, *[gates * units, gates * units, gates, gates] * self.layers]
        return [0, *np.cumsum(sizes).tolist()]

    @property
    def _rows(self) -> tuple[int, int]:
        return self._ends[-1], self.shape[2]

    def unpacked(self, x: Any) -> tuple[Any, list[tuple[Any, Any, Any, Any]]]:
        """Inputs (steps, batch, units), and w_ih, w_hh, b_ih and b_hh of each layer, of a native array."""
        first, *rest = (x[start:end] for start, end in pairwise(self._ends))
        size = len(GATES[self.op]) * self.shape[2]
        each = [rest[i : i + 4] for i in range(0, len(rest), 4)]
        return first.reshape(*self.shape), [(a, b, c.reshape(size), d.reshape(size)) for a, b, c, d in each]

    def shapes(self, channels: Channels) -> tuple[list[tuple[int, ...]], tuple[int, ...]]:
        """Of the one array and of a cotangent, for a pass on random numbers."""
        return [self._rows], self.shape

    def inputs(self, channels: Channels) -> list[Floats]:
        """Inputs and weights whose output shows the mask."""
        return [self._packed]

    @cached_property
    def _packed(self) -> Floats:
        steps, batch, units = self.shape
        rows = [np.full((steps * batch, units), INPUT)]
        for number in range(self.layers):
            rows += self._layer(*self._unit(number))
        return np.concatenate(rows)

    def _unit(self, layer: int) -> tuple[float, float]:
        """Weight and bias of the units of a layer."""
        if layer == 0:
            return 1.0, 0.0
        bias, reach = (0.0, REACH) if layer == self.layers - 1 else BETWEEN
        return reach * (1 - self.p), bias

    @property
    def kept(self) -> float:
        """What a unit of the first layer gives."""
        state = math.tanh(INPUT)
        return math.tanh(state) if self.op == "lstm_dropout" else state

    def before(self, out: Floats, layer: int) -> Floats:
        """The inputs for which a layer gives `out`; NaN or infinity where there are none."""
        weight, bias = self._unit(layer)
        with np.errstate(invalid="ignore", divide="ignore"):
            state = np.arctanh(out) if self.op == "lstm_dropout" else out
            inputs: Floats = (np.arctanh(state) - bias) / weight
        return inputs

    def slope(self, x: Floats, layer: int) -> Floats:
        """The derivative of a layer's outputs at these inputs."""
        weight, bias = self._unit(layer)
        state = np.tanh(weight * x + bias)
        slope: Floats = weight * (1 - state**2)
        return slope * (1 - np.tanh(state) ** 2) if self.op == "lstm_dropout" else slope

    def _layer(self, weight: float, bias: float) -> list[Floats]:
        """A layer in rows, whose gates are open, and each of whose units has an input of its own."""
        gates, units = GATES[self.op], self.shape[2]
        of_inputs = [np.eye(units) * (0.0 if gate in OPEN else weight) for gate in gates]
        biases = np.array([np.full(units, OPEN.get(gate, bias)) for gate in gates])
        return [np.concatenate(of_inputs), np.zeros((len(gates) * units, units)), biases, 0 * biases]

    def windows(self, channels: Channels) -> list[Network]:
        """Where gradients are read: in one pass."""
        return [self]

    def turns(self, channels: Channels) -> dict[str, tuple[list[Floats], Floats]]:
        """Inputs and weights, and a cotangent, for a gradient that shows the mask; the output shows it as well."""
        return {"inputs": (self.inputs(channels), np.ones(self.shape))}

    def told(self, index: Sequence[int]) -> str:
        """A place in an output, in words."""
        step, sample, unit = index
        return f"at step {step} of sample {sample}, unit {unit}"

    def found(self, what: str, code: float) -> str:
        """What stands in an output or gradient, in words."""
        return in_words(code, "")
