"""What an assertion costs, and whether a sound function ever fails it.

python benchmarks/assertions.py              # seconds of CPU, from a function to its verdict, and the import
python benchmarks/assertions.py --share      # draws a second that are judged, over those of the function alone
python benchmarks/assertions.py --sound 300  # smoke runs with fresh seeds; --append FILE adds to those of before
"""

import argparse
import json
import statistics
import subprocess
import sys
import time
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional as F

from keeprate.harness.protocol.lookup import find
from keeprate.testing import score

FAULTS = Path(__file__).parents[1] / "tests" / "testing" / "faults.py"
SOUND = (F.dropout, F.dropout1d, F.dropout2d, F.dropout3d, F.alpha_dropout, nn.Dropout, nn.Dropout2d, nn.AlphaDropout)
IMPORT = "import time, torch; t = time.process_time(); import keeprate.testing; print(time.process_time() - t)"


def seconds_of(function, like=None, **options):
    """Seconds of CPU until the verdict, and the score."""
    begun = time.process_time()
    found = score(function, like, **options)
    return time.process_time() - begun, found


def figures(rounds):
    imports = [
        float(subprocess.run([sys.executable, "-c", IMPORT], capture_output=True, text=True, check=True).stdout)
        for _ in range(rounds)
    ]
    print(f"import of keeprate.testing, PyTorch imported: {statistics.median(imports):.3f} s")
    seconds_of(F.dropout, profile="smoke")  # what judges is loaded, and plans are made
    for profile in ("smoke", "quick"):
        seconds_of(F.dropout, profile=profile)
        took = [seconds_of(F.dropout, profile=profile)[0] for _ in range(rounds)]
        print(f"assert_dropout(F.dropout), {profile}: {statistics.median(took):.2f} s")
    faults = find(str(FAULTS), group="", kind="module").FAULTS.values()
    took = []
    for function, like, *_ in faults:
        seconds, found = seconds_of(function, like, on="torch", profile="smoke")
        assert found["verdict"] == "broken", found["sentence"]
        took.append(seconds)
    print(f"a wrong function to its cause, smoke: median {statistics.median(took):.2f} s of {len(took)} faults")


def share(rounds):
    """The operator's own seconds, of the function and of PyTorch's beside it, over all that the draws take."""
    own = Own()
    F.dropout = own.dropout  # which the adapter of the reference finds, when it is imported
    seconds_of(own.dropout, on="torch", profile="smoke")
    whole, large = [], []
    for _ in range(rounds):
        few, more = (own.of(profile) for profile in ("quick", "gate"))
        whole.append(more[1] / more[2])
        large.append((more[1] - few[1]) / (more[2] - few[2]))
    print(
        f"judged draws a second over F.dropout's own, {more[0] - few[0]:,} more of gate: {statistics.median(large):.2f}"
    )
    print(f"the same of all {more[0]:,} of gate: {statistics.median(whole):.2f}")


class Own:
    """`F.dropout` and its gradient, with a clock."""

    def __init__(self):
        self._bare, self._elements, self._seconds = F.dropout, 0, 0.0

    def dropout(self, x, p=0.5, training=True, inplace=False):
        begun = time.thread_time()
        y = self._bare(x, p, training, inplace)
        self._seconds += time.thread_time() - begun
        self._elements += y.numel()
        return y

    def vjp(self, function, x, cotangent):
        x = x.detach().requires_grad_()
        y = function(x.clone())  # not a leaf, for it may work in place
        begun = time.thread_time()
        (gradient,) = torch.autograd.grad(y, x, cotangent)
        self._seconds += time.thread_time() - begun
        return y, gradient

    def of(self, profile):
        """Elements, seconds of CPU in the operator, and in all."""
        self._elements, self._seconds = 0, 0.0
        seconds, found = seconds_of(self.dropout, on="torch", vjp=self.vjp, profile=profile)
        assert found["verdict"] == "conforms", found["sentence"]
        return self._elements, self._seconds, seconds


def sound(runs, path):
    done = json.loads(path.read_text()) if path and path.exists() else []
    for number in range(len(done), runs):
        function = SOUND[number % len(SOUND)]
        found = score(function, profile="smoke")
        done.append([function.__name__, found["seed"], found["verdict"], found["failing"]])
        if path:
            path.write_text(json.dumps(done))
    failed = [run for run in done if run[2] != "conforms"]
    print(f"sound functions: {len(failed)} of {len(done)} smoke runs failed", *failed, sep="\n  ")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--share", action="store_true")
    parser.add_argument("--sound", type=int)
    parser.add_argument("--append", type=Path)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    if asked.sound:
        sound(asked.sound, asked.append)
    elif asked.share:
        share(asked.rounds)
    else:
        figures(asked.rounds)
