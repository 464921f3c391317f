"""MLX's transforms for functions that draw: the random state goes in as an argument, a key.

MLX's own see the operators of `impl` take keys from a global state, which they freeze, share or draw from twice. Here a
key is drawn outside and carried in, and all that the function draws follows from it. A transform may stand inside
any other, `mx.grad` and its kin included.
"""

from collections.abc import Callable
from functools import wraps
from typing import Any, ParamSpec, TypeVar

import mlx.core as mx
from mlx.nn.layers.base import Module
from mlx.utils import tree_map

from keeprate.impl.modes import Modes, noting
from keeprate.impl.random import drawing_from, key_of_transform, next_key

P = ParamSpec("P")
R = TypeVar("R")
SCALARS = (bool, int, float)


def compile(fn: Callable[P, R], inputs: Any = None, outputs: Any = None) -> Callable[P, R]:
    """`mx.compile`, with other masks in every call; traced again when a layer of ours changes its mode.

    Args:
        fn: takes arrays, trees of arrays and Python scalars, for each of which it is traced anew.
        inputs: arrays that fn reads and changes, as in `mx.compile`. What `mx.random` itself draws takes
            `mx.random.state` here and in `outputs`.
        outputs: arrays that fn changes, as in `mx.compile`.

    Returns:
        A function that is called as fn is.
    """
    modes = Modes()

    def keyed(key: mx.array, _: tuple[int, ...], *args: P.args, **kwargs: P.kwargs) -> tuple[R, bool]:
        with drawing_from(key) as inside:
            return fn(*args, **kwargs), inside.drawn

    traced = mx.compile(keyed, inputs, outputs)

    @wraps(fn)
    def compiled(*args: P.args, **kwargs: P.kwargs) -> R:
        with noting(modes):
            out, drawn = traced(key_of_transform(), modes.changed(), *args, **kwargs)
        if drawn:
            next_key()
        return out

    return compiled


def vmap(fn: Callable[..., R], in_axes: Any = 0, out_axes: Any = 0) -> Callable[..., R]:
    """`mx.vmap`, with masks of its own for each row, whether its x is mapped or one x serves all rows.

    Args:
        fn: takes arrays, trees of arrays and Python scalars, positionally; scalars are not mapped.
        in_axes: the axis of each argument that is mapped, or None, as in `mx.vmap`.
        out_axes: the axis of each result along which rows are put together, as in `mx.vmap`.

    Returns:
        A function that is called as fn is, with arrays of one axis more.

    Raises:
        ValueError: no argument is mapped.
    """

    @wraps(fn)
    def mapped(*args: Any) -> R:
        axes = in_axes if isinstance(in_axes, tuple) and len(in_axes) == len(args) else (in_axes,) * len(args)
        places = [place for place, arg in enumerate(args) if not isinstance(arg, SCALARS)]
        arrays, axes = tuple(args[place] for place in places), tuple(axes[place] for place in places)
        drawn = False

        def keyed(key: mx.array, arrays: tuple[Any, ...]) -> R:
            nonlocal drawn
            filled = list(args)
            for place, array in zip(places, arrays, strict=True):
                filled[place] = array
            with drawing_from(key) as inside:
                out = fn(*filled)
            drawn = inside.drawn
            return out

        keys = mx.random.split(key_of_transform(), _rows(arrays, axes))
        out = mx.vmap(keyed, (0, axes), out_axes)(keys, arrays)
        if drawn:
            next_key()
        return out

    return mapped


def checkpoint(fn: Callable[P, R]) -> Callable[P, R]:
    """`mx.checkpoint`; when the backward pass runs fn again, it draws the masks of the forward pass.

    Args:
        fn: a function of arrays, trees of arrays and Python scalars; gradients flow to its arguments alone. Or a
            layer: gradients flow to its trainable parameters too, as in `mlx.nn.utils.checkpoint`.

    Returns:
        A function that is called as fn is.
    """
    layer = fn if isinstance(fn, Module) else None

    @wraps(fn)
    def checkpointed(*args: P.args, **kwargs: P.kwargs) -> R:
        drawn = False

        def keyed(key: mx.array, parameters: dict[str, Any], *args: P.args, **kwargs: P.kwargs) -> R:
            nonlocal drawn
            if layer is not None:
                layer.update(parameters)
            with drawing_from(key) as inside:
                out = fn(*args, **kwargs)
            drawn = inside.drawn
            return out

        parameters = {} if layer is None else layer.trainable_parameters()  # type: ignore[no-untyped-call]
        out = mx.checkpoint(keyed)(key_of_transform(), parameters, *args, **kwargs)
        if drawn:
            next_key()
        return out

    return checkpointed


def _rows(arrays: tuple[Any, ...], axes: tuple[Any, ...]) -> int:
    """Length of the mapped axis: that of the first array that has one.

    Raises:
        ValueError: no argument is mapped.
    """
    lengths: list[int] = []

    def note(axis: int | None, part: Any) -> None:
        if axis is not None:
            tree_map(lambda leaf: lengths.append(leaf.shape[axis]), part)

    tree_map(note, axes, arrays)
    if not lengths:
        raise ValueError("vmap: no argument is mapped")
    return lengths[0]
