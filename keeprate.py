"""keeprate: proof that a dropout operator keeps its promises.

The names that a user imports; nothing is defined here.
"""

from harness.commands.entry import main
from harness.errors import KeeprateError, NoVerdictError, UsageError
from harness.judging.finding import Finding
from harness.judging.gate import judge
from harness.judging.verdict import Verdict

__all__ = ["Finding", "KeeprateError", "NoVerdictError", "UsageError", "Verdict", "judge", "main"]

if __name__ == "__main__":
    main()
