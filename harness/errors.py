"""The errors that a person can mend, one class for each exit code."""


class KeeprateError(Exception):
    """Something a person can mend: shown as one sentence, without a traceback."""

    exit_code = 3


class UsageError(KeeprateError):
    """A name, file or option that doesn't exist or is out of range."""

    exit_code = 2


class NoVerdictError(KeeprateError):
    """The backend can't be loaded, nothing was judged, or the reference failed."""

    exit_code = 3


class Unreadable(Exception):  # noqa: N818 - a state of a sample, not an error of the program
    """No mask could be read from this sample, because an exact law is broken in it; says which law."""


class NotOffered(Exception):  # noqa: N818 - a state of a sample, not an error of the program
    """The backend lacks what this finding needs, as only calling it shows; says what."""


class BackendError(Exception):
    """A backend raised where the contract says that it answers; becomes a finding with status `error`."""
