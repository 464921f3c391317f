"""A backend with a second device on the CPU, which scales what it drops twice; it says where it was told to compute."""

from keeprate.impl.backends.numpy import *  # noqa: F403
from keeprate.impl.backends.numpy import dropout as _dropout

name = "placed"
devices = ("cpu:0", "cpu:1", "lost")
device = "cpu:0"


def use(where):
    global device
    if where == "lost":
        raise RuntimeError("no such device any more")
    device = where


def dropout(x, p, train):
    out = _dropout(x, p, train)
    return out * 2 if device == "cpu:1" and train else out
