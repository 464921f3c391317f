"""How often the likely causes that a verdict names are right: each mutant's verdict against a key without that mutant.

    python benchmarks/likely_causes.py [--wrong]

Reads docs/kill-matrix.json. The key is what broke at `gate`; what is looked up in it is what broke at `gate`, and at
`quick`, which had other seeds and fewer draws. An answer is right if the mutant's own kind (its module) is among the
kinds that it names, wrong if it isn't; nothing is said where no cause is alike enough, or where all that broke are
errors and calls that raised. `--wrong` lists the wrong ones.
"""

import argparse
import json
from pathlib import Path

from keeprate.specs.dropout.likeness import LIKENESS, Mark, cause, likely_causes, traits_of

MATRIX = Path(__file__).parents[1] / "docs" / "kill-matrix.json"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--wrong", action="store_true")
    arguments = parser.parse_args()
    rows = json.loads(MATRIX.read_text(encoding="utf-8"))
    marks = {
        profile: {name: [Mark(**mark) for mark in row[profile]["marks"]] for name, row in rows.items()}
        for profile in ("gate", "quick")
    }
    traits = {name: traits_of(seen) for name, seen in marks["gate"].items()}
    causes = [cause(name, name.partition(":")[0], "", "", traits[name]) for name in rows if traits[name]]
    print(f"{len(causes)} causes of {len({cause.kind for cause in causes})} kinds; silent below {LIKENESS:.0%} alike")
    for profile, seen in marks.items():
        asked = {name: one for name, one in seen.items() if one}
        first, right, wrong = 0, 0, []
        for name, one in asked.items():
            named = likely_causes(one, [cause for cause in causes if cause.name != name])
            kinds = [cause.kind for _, cause in named]
            first += name.partition(":")[0] in kinds[:1]
            right += name.partition(":")[0] in kinds
            if kinds and name.partition(":")[0] not in kinds:
                wrong.append((name, [f"{cause.name} {likeness:.2f}" for likeness, cause in named]))
        silent = len(asked) - right - len(wrong)
        print(
            f"{profile}: of {len(asked)} verdicts {right} right ({right / len(asked):.1%}; by the first, {first}), "
            f"{len(wrong)} wrong ({len(wrong) / len(asked):.1%}), {silent} silent"
        )
        if arguments.wrong:
            for name, named in wrong:
                print(f"  {name}: {', '.join(named)}")


if __name__ == "__main__":
    main()
