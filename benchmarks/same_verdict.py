"""Do runs of one seed give one verdict on every Python? Compares files that `keeprate gate --seed S --json FILE` wrote.

    keeprate gate --backend mlx --profile quick --seed 1 --json FILE    # once in each Python
    python benchmarks/same_verdict.py FILE FILE…

Two runs may differ in `run`, in Python's own version, and in the build of the reference: its version up to a `+`.
It needs no package, so it runs in any Python. Exit code 1: something else differs.
"""

import json
import sys


def comparable(path):
    """What must be the same, and the Python that it was judged by."""
    with open(path, encoding="utf-8") as file:
        data = json.load(file)
    del data["run"]
    python = data["environment"].pop("python")
    data["reference"]["version"] = data["reference"]["version"].partition("+")[0]
    return data, python


def differences(one, other):
    """The names of what differs: parts of the verdict, or ids of findings."""
    names = [key for key in one.keys() | other.keys() if key != "findings" and one.get(key) != other.get(key)]
    ids = [{finding["id"]: finding for finding in data["findings"]} for data in (one, other)]
    return sorted(names) + sorted(id for id in ids[0].keys() | ids[1].keys() if ids[0].get(id) != ids[1].get(id))


def main(paths):
    (first, python), *others = map(comparable, paths)
    print(f"Python {python}: {first['verdict']}, {len(first['findings']):,} findings, seed {first['seed']}")
    code = 0
    for other, version in others:
        found = differences(first, other)
        print(f"Python {version}: " + (f"{len(found)} differ: {', '.join(found[:5])}" if found else "the same"))
        code |= bool(found)
    return code


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    sys.exit(main(sys.argv[1:]))
