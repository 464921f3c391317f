"""PyTorch on an accelerator: what an adapter has in place of its names for the CPU."""

import re
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

_DRIVER = Path("/proc/driver/nvidia/version")

# Counted, and not asked whether they are available, which would begin CUDA: no forked worker could use it then.
_there = {"cuda": torch.cuda.device_count(), "mps": torch.mps.device_count()}
devices = (
    "cpu",
    *(kind for kind, count in _there.items() if count),
    *(f"{kind}:{number}" for kind, count in _there.items() for number in range(count)),
)


def placed(device: str, asarray: Callable[..., torch.Tensor]) -> dict[str, Any]:
    """Names for `device`; none for the CPU, where the adapter is.

    Args:
        asarray: as in a backend, with `device` as a keyword.
    """
    where = torch.device(device)
    if where.type == "cpu":
        return {}
    names: dict[str, Any] = {"device": _told(where), "asarray": partial(asarray, device=where), "pack": pack}
    if where.type == "mps":
        return names | {
            "dtypes": ("float32", "float16", "bfloat16"),
            "memory": torch.mps.driver_allocated_memory,
            "seed": torch.mps.manual_seed,
            "get_state": torch.mps.get_rng_state,
            "set_state": torch.mps.set_rng_state,
        }
    torch.cuda.set_device(where)
    return names | {
        "memory": torch.cuda.max_memory_allocated,
        "graph": graph,
        "stream": stream,
        "seed": torch.cuda.manual_seed,
        "get_state": partial(torch.cuda.get_rng_state, where),
        "set_state": partial(torch.cuda.set_rng_state, device=where),
    }


def pack(y: torch.Tensor, kept: torch.Tensor) -> NDArray[np.uint8]:
    """Return which elements of y equal those of kept, as bits in row-major order, the first the lowest of its byte.

    On the CPU, where no bus is spared, comparing y itself takes less time.
    """
    equal = torch.nn.functional.pad((y == kept).reshape(-1).to(torch.uint8), (0, -y.numel() % 8)).reshape(-1, 8)
    places = torch.tensor([1, 2, 4, 8, 16, 32, 64, 128], dtype=torch.uint8, device=y.device)
    bits: NDArray[np.uint8] = (equal * places).sum(1, dtype=torch.uint8).cpu().numpy()
    return bits


def graph(fn: Callable[..., torch.Tensor]) -> Callable[..., torch.Tensor]:
    """Capture fn in a CUDA graph, for each layout of its input, and replay that in every call."""
    captured: dict[Any, tuple[torch.cuda.CUDAGraph, torch.Tensor, torch.Tensor]] = {}

    def replayed(x: torch.Tensor, *train: bool) -> torch.Tensor:
        kind = x.shape, x.stride(), x.dtype, train
        if kind not in captured:
            captured[kind] = _captured(fn, x, *train)
        recorded, given, out = captured[kind]
        given.copy_(x)
        recorded.replay()
        return out.clone()  # which the next replay writes over

    return replayed


def _captured(
    fn: Callable[..., torch.Tensor], x: torch.Tensor, *train: bool
) -> tuple[torch.cuda.CUDAGraph, torch.Tensor, torch.Tensor]:
    """A graph, its input and its output; the call that comes before, on another stream, draws nothing in the end."""
    given, state = x.clone(), torch.cuda.get_rng_state()
    stream(fn)(given, *train)
    torch.cuda.set_rng_state(state)
    recorded = torch.cuda.CUDAGraph()
    with torch.cuda.graph(recorded):
        out = fn(given, *train)
    return recorded, given, out


def stream(fn: Callable[..., torch.Tensor]) -> Callable[..., torch.Tensor]:
    """Call fn on a stream of its own, which waits for what was asked for before, as what comes after waits for it."""
    aside = torch.cuda.Stream()  # type: ignore[no-untyped-call]

    def called(x: torch.Tensor, *train: bool) -> torch.Tensor:
        here = torch.cuda.current_stream()
        aside.wait_stream(here)
        with torch.cuda.stream(aside):
            out = fn(x, *train)
        here.wait_stream(aside)
        x.record_stream(aside)
        out.record_stream(here)
        return out

    return called


def _told(where: torch.device) -> str:
    """The device, its capability, and what drives it: evidence of another isn't this one's."""
    if where.type == "mps":
        return str(where)
    major, minor = torch.cuda.get_device_capability(where)
    driver = re.search(r"Kernel Module\s+([\d.]+)", _DRIVER.read_text(encoding="utf-8")) if _DRIVER.exists() else None
    words = [f"{where} {torch.cuda.get_device_name(where)}", f"capability {major}.{minor}"]
    words += [f"CUDA {torch.version.cuda}"] + ([f"driver {driver[1]}"] if driver else [])
    return ", ".join(words)
