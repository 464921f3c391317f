"""What the exit codes of a command mean, below its help."""

_MISTAKE = "2 a name, file or option doesn't exist or is out of range"
JUDGED = (
    "Exit codes: 0 every promise is kept; 1 a promise is broken, or a case ended in an error; "
    f"{_MISTAKE}; 3 no verdict: the backend can't be loaded, nothing was judged, or the reference failed."
)
CHECKED = f"Exit codes: 0 the adapter is right; 1 something in it is wrong; {_MISTAKE}; 3 the backend can't be loaded."
PLANNED = f"Exit codes: 0 the estimate was printed; {_MISTAKE}; 3 the backend can't be loaded."
DONE = f"Exit codes: 0 done; {_MISTAKE}."
WROTE = f"Exit codes: 0 it was written, whatever promises are broken in it; {_MISTAKE}."
