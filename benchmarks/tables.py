"""A gate of the MLX operators, as README.md and docs/guarantees.md show it: judges once, and writes both.

    python benchmarks/tables.py

On a page it replaces the block that stands under a stamp of this command; the README's has three operators alone.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

from stamps import line

ROOT = Path(__file__).parents[1]
COMMAND = "python benchmarks/tables.py"
PAGES = (ROOT / "README.md", ROOT / "docs" / "guarantees.md")
STAMPED = re.compile(rf"<!-- made by `{COMMAND}`: [^\n]* -->\n```text\n.*?^```", re.MULTILINE | re.DOTALL)
SHOWN = 3  # operators in the README


def main() -> None:
    command = [sys.executable, "-m", "keeprate", "gate", "--backend", "mlx"]
    environment = {**os.environ, "COLUMNS": "80", "GITHUB_SHA": ""}
    run = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    lines = run.stdout.rstrip().splitlines()
    lines = lines[next(number for number, text in enumerate(lines) if text.startswith("operator ")) :]
    end = next(number for number, text in enumerate(lines) if text.startswith("mlx "))
    for path, block in zip(PAGES, ([*lines[: SHOWN + 1], "⋮", *lines[end:]], lines), strict=True):
        text = path.read_text(encoding="utf-8")
        if len(STAMPED.findall(text)) != 1:
            raise SystemExit(f"{path.name} has no one block under a stamp of {COMMAND}")
        made = "\n".join([line(COMMAND, "gate"), "```text", *block, "```"])
        path.write_text(STAMPED.sub(lambda _, made=made: made, text), encoding="utf-8")


if __name__ == "__main__":
    main()
