"""A backend with other devices on the CPU; it says where it was told to compute.

cpu:1 scales twice. cpu:asserts is lost, to this process, once an operator was given a p that it doesn't check, as CUDA
is after an assertion in a kernel; cpu:worn is so after a hundred calls, whatever they are. cpu:full has held too much
memory after such a p.
"""

from keeprate.impl.backends.numpy import *  # noqa: F403
from keeprate.impl.backends.numpy import asarray as _asarray
from keeprate.impl.backends.numpy import dropout as _dropout

name = "placed"
devices = ("cpu:0", "cpu:1", "lost", "cpu:asserts", "cpu:worn", "cpu:full")
device = "cpu:0"
calls, asserted, full = 0, False, False


def use(where):
    global device
    if where == "lost":
        raise RuntimeError("no such device any more")
    device = where


def memory():
    return 2**50 if full else 2**20


def asarray(x, dtype):
    if asserted:
        raise RuntimeError("device-side assert triggered")
    return _asarray(x, dtype)


def dropout(x, p, train):
    global calls, asserted, full
    calls += 1
    full |= device == "cpu:full" and not 0 <= p <= 1
    asserted |= device == "cpu:asserts" and not 0 <= p <= 1
    asserted |= device == "cpu:worn" and calls > 100
    if asserted:
        raise RuntimeError("device-side assert triggered")
    out = _dropout(x, p, train)
    return out * 2 if device == "cpu:1" and train else out
