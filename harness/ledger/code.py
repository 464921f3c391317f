"""Which code a run judges: a digest of the backend's file, and of its author's own modules that it imports."""

from __future__ import annotations

import hashlib

from keeprate.harness.protocol.source import beside, locate


def code_of(backend: str) -> str | None:
    """32 hexadecimal digits; None where there is no file of Python, or none that can be read."""
    try:
        source = locate(backend)
        if source is None:
            return None
        files = sorted({source.path, *beside(source).values()})
        digest = hashlib.blake2b(digest_size=16)
        for path in files:
            digest.update(hashlib.blake2b(path.read_bytes()).digest())
    except (OSError, SyntaxError, ValueError):  # it was loaded elsewhere; what it was is not known here
        return None
    return digest.hexdigest()
