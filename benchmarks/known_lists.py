"""Does a list that `--write-known` wrote hold? Runs of a faulty backend with fresh seeds that pass with it.

Each mutant is judged once to write its list, and then again and again by it. What fails then is told.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).parent.parent
MUTANTS = "rate:OffByTwoThousandths,rate:WanderingRate,correlated:FourTogether"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--mutants", default=MUTANTS, help="modules of tests/mutants and classes in them")
    parser.add_argument("--lists", type=int, default=1, help="that are written for each")
    parser.add_argument("--runs", type=int, default=20, help="by each list")
    parser.add_argument("options", nargs="*", help="of keeprate gate", default=[])
    given = parser.parse_args()
    options = given.options or ["--profile", "quick", "--ops", "dropout", "--dtypes", "float32"]
    for mutant in given.mutants.split(","):
        module, _, name = mutant.partition(":")
        backend = f"{ROOT / 'tests' / 'mutants' / module}.py:{name}"
        with tempfile.TemporaryDirectory() as folder:
            told = [held(backend, Path(folder) / str(number), given.runs, options) for number in range(given.lists)]
        passed, failed, lines = (sum(part, type(part[0])()) for part in zip(*told, strict=True))
        print(f"{mutant}: {passed} of {given.lists * given.runs} runs pass; lists of {lines / given.lists:.0f} lines")
        for finding, number in failed.most_common(10):
            print(f"    {number:3}  {finding}")


def held(backend, folder, runs, options):
    """Runs that pass by a list written anew, what fails in the others, and how many lines the list has."""
    folder.mkdir()
    gate = [Path(sys.executable).with_name("keeprate"), "gate", "--backend", backend, *options]
    first = subprocess.run([*gate, "--write-known", folder / "known"], capture_output=True, check=False)
    assert first.returncode == 1, first.stderr.decode()
    passed, failed = 0, Counter()
    for _ in range(runs):
        words = [*gate, "--known", folder / "known", "--json", folder / "v.json"]
        code = subprocess.run(words, capture_output=True, check=False).returncode
        assert code in (0, 1)
        passed += code == 0
        findings = json.loads((folder / "v.json").read_text(encoding="utf-8"))["findings"]
        failed.update(one["id"] for one in findings if one["status"] in ("broken", "error") and one["known"] is None)
    return passed, failed, len((folder / "known").read_text(encoding="utf-8").splitlines()) - 1


if __name__ == "__main__":
    main()
