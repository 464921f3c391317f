"""The errors that a person can mend, one class for each exit code."""

from keeprate.harness.untrusted_text import class_of, clean


class KeeprateError(Exception):
    """Something a person can mend: shown as one sentence, without a traceback."""

    exit_code = 3


class UsageError(KeeprateError):
    """A name, file or option that doesn't exist or is out of range."""

    exit_code = 2


class NoVerdictError(KeeprateError):
    """The backend can't be loaded, nothing was judged, or the reference failed."""

    exit_code = 3


class _Foreign(Exception):  # noqa: N818 - some of them are states of a sample
    """Says what foreign code said, without signs that a terminal obeys or a file can't hold.

    Args:
        text: one sentence.
    """

    def __init__(self, text: str) -> None:
        super().__init__(clean(text))


class Unreadable(_Foreign):
    """Nothing could be read from this sample, because an exact law is broken in it; says which law."""


class NotOffered(_Foreign):
    """The backend lacks what this finding needs, as only calling it shows; says what."""


class BackendError(_Foreign):
    """A backend raised where the contract says that it answers; becomes a finding with status `error`.

    Args:
        text: one sentence.
        kind: what two errors of one cause have in common; unless given, the class of the exception that it is from.
    """

    def __init__(self, text: str, kind: str = "") -> None:
        super().__init__(text)
        self._kind = clean(kind)

    @property
    def kind(self) -> str:
        """What two errors of one cause have in common; empty if nothing is known of it."""
        return self._kind or (class_of(self.__cause__) if self.__cause__ else "")
