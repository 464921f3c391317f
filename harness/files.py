"""Writes files whole or not at all, and reads what a person wrote."""

from __future__ import annotations

import contextlib
import os
import select
import stat
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Literal

from keeprate.harness import interrupts
from keeprate.harness.errors import UsageError


def kind(path: Path) -> Literal["nothing", "file", "folder", "device"]:
    """What is at `path`; a link stands for what it leads to, and a pipe or a socket is a device.

    Raises:
        UsageError: nobody may look there, or nothing can have this name.
    """
    try:
        mode = path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        return "nothing"
    except (OSError, ValueError) as error:  # no permission; too long, a link to itself; a zero byte
        raise UsageError(f"{path}: {_reason(error)}") from None
    return "folder" if stat.S_ISDIR(mode) else "file" if stat.S_ISREG(mode) else "device"


def check_writable(path: Path) -> None:
    """Finds out, before a long run, whether a file could be written at `path`.

    Raises:
        UsageError: its folder doesn't exist or can't be written to, or it is a folder itself.
    """
    try:
        folder = path.resolve().parent
        if path.is_dir():
            raise UsageError(f"can't write '{path}': it is a folder")
        if not folder.is_dir():
            raise UsageError(f"can't write '{path}': there is no folder '{folder}'")
        if not (os.access(path, os.W_OK) if kind(path) == "device" else _takes_files(folder)):
            raise UsageError(f"can't write '{path}': no permission to write to '{folder}'")
    except (OSError, RuntimeError, ValueError) as error:  # a name that is too long; a link to itself; a zero byte
        raise UsageError(f"can't write '{path}': {_reason(error)}") from None


def _takes_files(folder: Path) -> bool:
    """Whether one may write to `folder`: a file is made there, as permissions say nothing of folders like /proc.

    Raises:
        OSError: something else than a permission is missing.
    """
    try:
        tempfile.TemporaryFile(dir=folder).close()
    except PermissionError:
        return False
    return True


def check_apart(outputs: Mapping[str, Path | None], inputs: Mapping[str, Path]) -> None:
    """Looks, before a run, that no output is written over what the run reads, or over another output.

    Args:
        outputs: by the option that names each; None where it isn't given.
        inputs: by what each is.

    Raises:
        UsageError: two of them are the same file.
    """
    places = {_place(path): what for what, path in inputs.items()}
    for option, path in outputs.items():
        if path is not None and (place := _place(path)) is not None:
            other = places.setdefault(place, option)
            if other != option:
                raise UsageError(f"{option} '{path}' would overwrite {other}, which is the same file: name another")


def _place(path: Path) -> Path | None:
    """The file that `path` stands for; None for a device, and where nobody can look, as whoever opens it will say."""
    try:
        return None if kind(path) == "device" else path.resolve()
    except (UsageError, OSError, RuntimeError):
        return None


def check_folder(path: Path) -> None:
    """Finds out, before a long run, whether files could be written into the folder `path`, which need not be there yet.

    Raises:
        UsageError: it is no folder, or can't be written to or made.
    """
    try:
        there = path.resolve()
        while not there.exists():
            there = there.parent
        if not there.is_dir():
            raise UsageError(f"can't write to '{path}': '{there}' is not a folder")
        if not _takes_files(there):
            raise UsageError(f"can't write to '{path}': no permission to write to '{there}'")
    except (OSError, RuntimeError, ValueError) as error:
        raise UsageError(f"can't write to '{path}': {_reason(error)}") from None


def write(path: Path, text: str) -> None:
    """Writes `text` to a file beside `path` and puts it in its place, so that no half-written file is ever seen.

    A pipe or a device, as /dev/stdout, is written to as it is.

    Raises:
        UsageError: it can't be written; what stood at `path` is unchanged.
    """
    check_writable(path)
    try:
        if kind(path) == "device":  # which a file in its place would destroy
            path.write_text(text, encoding="utf-8")
        else:
            _replace(path.resolve(), text)
    except OSError as error:
        raise UsageError(f"can't write '{path}': {_reason(error)}") from None


def _replace(target: Path, text: str) -> None:
    mode = stat.S_IMODE(target.stat().st_mode) if target.exists() else _usual_mode()
    # Under a name that nobody can guess, opened only if nothing has it, and for its owner alone until it is whole.
    handle, temporary = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name[:100]}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
        os.chmod(temporary, mode)
        os.replace(temporary, target)
    except BaseException:  # an interrupt as well
        with contextlib.suppress(FileNotFoundError):  # it has its place already
            os.unlink(temporary)
        raise


@contextlib.contextmanager
def made(target: Path) -> Iterator[Path]:
    """A path to make a file at, in a folder that nobody else has or can guess; it gets its place once it is whole.

    Raises:
        UsageError: something is at `target` by then, and is left as it was, or it can't be written.
    """
    check_writable(target)
    if target.exists():
        raise UsageError(f"'{target}' already exists and was not changed")
    unfinished = target
    try:
        with tempfile.TemporaryDirectory(dir=target.resolve().parent, prefix=".making.") as folder:
            unfinished = Path(folder) / "made"
            yield unfinished
            os.link(unfinished, target)
    except FileExistsError:
        raise UsageError(f"'{target}' already exists and was not changed") from None
    except OSError as error:
        raise UsageError(f"can't write '{target}': {error.strerror}") from None
    except UsageError as error:  # perhaps of the file in that folder, which nobody has heard of
        raise UsageError(str(error).replace(str(unfinished), str(target))) from None


def _usual_mode() -> int:
    """What a new file would have."""
    umask = os.umask(0)
    os.umask(umask)
    return 0o666 & ~umask


def _reason(error: Exception) -> str:
    return error.strerror or str(error) if isinstance(error, OSError) else str(error)


def beginning(path: Path, size: int) -> bytes:
    """The first `size` bytes of a file, a pipe or a device.

    Raises:
        UsageError: it can't be read.
    """
    try:
        if kind(path) == "device":
            return _waiting(path, size)
        with path.open("rb") as file:
            return file.read(size)
    except (OSError, ValueError) as error:
        raise UsageError(f"{path}: {_reason(error)}") from None


def _waiting(path: Path, size: int) -> bytes:
    """The first `size` bytes of a pipe or a device, which may take for ever: a signal ends it."""
    found, ready = b"", select.poll()
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK), "rb", buffering=0) as file:
        ready.register(file, select.POLLIN)
        while len(found) < size:
            interrupts.check()
            if ready.poll(1000 * interrupts.LOOK):
                more = file.read(size - len(found))  # None where another has read it first
                if more == b"":
                    break
                found += more or b""
    return found


def read(path: Path, most: int) -> str:
    """The text of a file.

    Args:
        path: where it is.
        most: bytes; what is larger is nothing that anyone meant to be read, and must not fill the memory.

    Raises:
        UsageError: it can't be read, is larger, or isn't UTF-8.
    """
    data = beginning(path, most + 1)
    if len(data) > most:
        raise UsageError(f"{path}: it is larger than {most // 2**20} MiB")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UsageError(f"{path}: {error}") from None
