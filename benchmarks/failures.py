"""What a failure looks like: everyday faults, written into the template of `keeprate init`. Writes docs/failures.md.

    python benchmarks/failures.py [FAULT ...] [--into docs/failures.md]

Each is judged by `keeprate gate --profile quick -x`; shown are the last lines of a terminal of 80 columns and 24 lines.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from stamps import line

from keeprate.harness.protocol.suite import load_suite

ROOT = Path(__file__).parents[1]
LINES, COLUMNS = 24, 80
HEAD = """# What a failure looks like

Everyday faults, each written into the template of `keeprate init`, judged by
`keeprate gate --backend mine.py --profile quick -x`. Shown is what stands in a terminal of 80 columns and 24 lines when
it ends. `python benchmarks/failures.py` makes this page.

{stamp}
"""
VJP = """

def vjp(fn, x, cotangent):
    y, wide = fn(x), x.astype("float64")
    state = _random.bit_generator.state  # not the one that the output was drawn from
    above = fn(wide + 1)
    _random.bit_generator.state = state
    return y, (cotangent * (above - fn(wide - 1)) / 2).astype(x.dtype)
"""
COMPILE = """

def compile(fn):
    state = _random.bit_generator.state

    def compiled(x):
        _random.bit_generator.state = state
        return fn(x)

    return compiled
"""
ALPHA = """

def alpha_dropout(x, p, train):
    if not 0 <= p <= 1:
        raise ValueError(f"p = {p} is not from 0 to 1")
    if not train or p == 0:
        return x
    if p == 1:
        return x * 0
    low = -1.7580993408473766
    scale = (p + low**2 * p * (1 - p)) ** -0.5
    kept = _random.random(x.shape) >= p
    return (np.where(kept, x, low) * scale - scale * low * (1 - p)).astype(x.dtype)
"""
NOISE = "noise = (_random.random(shape_of_mask) >= p) / (1 - p)"
# What is wrong, in the words of its author; what is replaced in the template, by what, and what is added to it.
FAULTS = {
    "One mask for the whole batch": (NOISE, NOISE.replace("shape_of_mask", "(1, *shape_of_mask[1:])"), ""),
    "What is kept is scaled by 1/p": (NOISE, NOISE.replace("(1 - p)", "p"), ""),
    "Nothing is scaled": (NOISE, NOISE.replace("(1 - p)", "1"), ""),
    "The backward pass draws a mask of its own": ("", "", VJP),
    "Bytes are compared with p · 256": (NOISE, NOISE.replace(">= p)", "* 256 // 1 >= p * 256 // 1)"), ""),
    "Dropout stays on in evaluation": ("if not train or p == 0:", "if p == 0:", ""),
    "The seed is ignored": ("np.random.default_rng(value)", "np.random.default_rng()", ""),
    "The last axis is taken for the channels": (
        "x.shape[:2] + (1,) * (x.ndim - 2)",
        "x.shape[:1] + (1,) * (x.ndim - 2) + x.shape[-1:]",
        "",
    ),
    "A compiled function keeps its first mask": ("", "", COMPILE),
    "The constants of alpha dropout have p and 1 − p exchanged": ("", "", ALPHA),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("faults", nargs="*", metavar="FAULT", help=f"some of: {'; '.join(FAULTS)}")
    parser.add_argument("--into", type=Path, default=ROOT / "docs" / "failures.md")
    arguments = parser.parse_args()
    if unknown := [fault for fault in arguments.faults if fault not in FAULTS]:
        parser.error(f"there is no fault {unknown[0]!r}")
    parts = [HEAD.format(stamp=line("python benchmarks/failures.py", "quick"))]
    for fault in arguments.faults or FAULTS:
        print(fault, flush=True)
        parts.append(f"## {fault}\n\n```diff\n{changed(fault)}```\n\n```text\n{screen(fault)}\n```\n")
    arguments.into.write_text("\n".join(parts), encoding="utf-8")


def faulty(fault: str) -> str:
    """The template with a fault in it."""
    old, new, added = FAULTS[fault]
    text = load_suite("dropout").template.read_text(encoding="utf-8")
    if old and text.count(old) != 1:
        raise ValueError(f"the template has {old!r} {text.count(old)} times")
    return (text.replace(old, new) if old else text) + added


def changed(fault: str) -> str:
    """The lines that are wrong, as a difference."""
    old, new, added = FAULTS[fault]
    lines = [f"-{old}", f"+{new}"] if old else []
    return "".join(f"{line}\n" for line in [*lines, *(f"+{line}" for line in added.strip("\n").splitlines())])


def screen(fault: str) -> str:
    """The last lines of a terminal in which it is judged."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "mine.py").write_text(faulty(fault), encoding="utf-8")
        command = [sys.executable, "-m", "keeprate", "gate", "--backend", "mine.py", "--profile", "quick", "-x"]
        run = subprocess.run(
            command, cwd=folder, capture_output=True, text=True, check=False,
            env={**os.environ, "COLUMNS": str(COLUMNS), "GITHUB_SHA": ""},
        )  # fmt: skip
    if run.returncode != 1:
        raise RuntimeError(f"{fault}: ended with {run.returncode}\n{run.stdout}{run.stderr}")
    return "\n".join(run.stdout.rstrip().splitlines()[-LINES:])


if __name__ == "__main__":
    main()
