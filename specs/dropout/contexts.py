"""How an operator is called: in which transforms, threads and layers; by the public name of the context."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from keeprate.specs.transforms import PLAIN, transforms_in

DERIVED = ("linearize", "jvp")  # how derivatives are had, besides by `vjp`


@dataclass(frozen=True)
class Context:
    """One way to call an operator.

    Args:
        name: as ids write it; `a+b` is b's transform, then a's, on the operator, the vjp last.
    """

    name: str

    @cached_property
    def transforms(self) -> tuple[str, ...]:
        """Names of the backend's transforms, the innermost first."""
        if self.fused:
            return ("compile",)
        return transforms_in(self.name)

    @cached_property
    def fused(self) -> bool:
        """True if several calls are compiled together with what stands beside them in a network."""
        return self.name == "fused"

    @cached_property
    def inplace(self) -> bool:
        """True if the operator's in-place form is called in its place."""
        return self.name == "inplace"

    @cached_property
    def layered(self) -> bool:
        """True if a layer is called in the operator's place."""
        return self.name.endswith("module")

    @cached_property
    def mapped(self) -> bool:
        """True if calls are rows of one call."""
        return self.fused or "vmap" in self.transforms

    @cached_property
    def recomputed(self) -> bool:
        """True if the context shows in passes forward and back alone."""
        return "checkpoint" in self.transforms

    @cached_property
    def needs(self) -> tuple[str, ...]:
        """What a backend must have to be called so, besides the operator."""
        return (*self.transforms, *["module"] * self.layered, *[self.name] * (self.name in DERIVED))


def plainness(context: str) -> int:
    """How much comes before the operator: 0 for a plain call, 1 for a gradient, then the more, the more is combined."""
    return PLAIN.index(context) if context in PLAIN else len(PLAIN) + context.count("+") + (context == "fused")


# Those that a plan looks at besides `eager` and `grad`: alone, and two together where users put them together.
CONTEXTS = tuple(
    Context(name)
    for name in (
        "compile",
        "vmap",
        "checkpoint",
        "module",
        "compile+vmap",
        "compile+checkpoint",
        "checkpoint+compile",
        "checkpoint+vmap",
        "compile+module",
        "checkpoint+module",
    )
)
