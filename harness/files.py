"""Writes files whole or not at all."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from harness.errors import UsageError


def check_writable(path: Path) -> None:
    """Looks, before a long run, whether a file could be written at `path`.

    Raises:
        UsageError: its folder doesn't exist or can't be written to, or it is a folder itself.
    """
    folder = path.resolve().parent
    if path.is_dir():
        raise UsageError(f"can't write '{path}': it is a folder")
    if not folder.is_dir():
        raise UsageError(f"can't write '{path}': there is no folder '{folder}'")
    if not os.access(folder, os.W_OK):
        raise UsageError(f"can't write '{path}': no permission to write to '{folder}'")


def write(path: Path, text: str) -> None:
    """Writes `text` to a file beside `path` and puts it in its place, so that no half-written file is ever seen.

    Raises:
        UsageError: it can't be written; what stood at `path` is unchanged.
    """
    check_writable(path)
    target = path.resolve()
    handle, temporary = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
        umask = os.umask(0)
        os.umask(umask)
        os.chmod(temporary, 0o666 & ~umask)  # mkstemp's files are for their owner alone
        os.replace(temporary, target)
    except OSError as error:
        os.unlink(temporary)
        raise UsageError(f"can't write '{path}': {error.strerror}") from None
