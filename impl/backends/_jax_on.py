"""JAX on a device that it is told to use: what an adapter has in place of its names then."""

from typing import Any

import jax

device = jax.default_backend()  # `gpu` where there is one: its evidence is not that of a CPU
devices = (device, *(f"{device}:{number}" for number in range(jax.device_count())))


def placed(where: str) -> dict[str, Any]:
    """Compute on one of `devices` from now on, keys too; return the names that an adapter has another value of then."""
    chosen = jax.devices()[int(where.partition(":")[2] or 0)]
    jax.config.update("jax_default_device", chosen)
    names: dict[str, Any] = {
        "device": where if chosen.device_kind == chosen.platform else f"{where} {chosen.device_kind}"
    }
    if "peak_bytes_in_use" in (chosen.memory_stats() or {}):  # a CPU tells nothing
        names["memory"] = lambda: chosen.memory_stats()["peak_bytes_in_use"]
    return names
