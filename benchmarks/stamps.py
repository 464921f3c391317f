"""What a figure of docs/ was made from: the plan that was judged, the commit, and the versions; for all that makes one.

A stamp stands in the JSON of a figure under `made`, and on a page in a comment of HTML, which `line` writes.
`tests/harness/test_figures.py` compares the plan of each with today's.
"""

import functools
import hashlib
import importlib.metadata
import json
import platform
import subprocess
from pathlib import Path

from keeprate.harness.judging.request import ask
from keeprate.harness.ledger.store import digests

PACKAGES = ("mlx", "numpy", "scipy", "torch")


@functools.cache
def plan_of(profile: str) -> str:
    """What tells a plan from another one: what it counts, and from where on it is broken."""
    plan = ask("", profile=profile).plan
    text = json.dumps([[digest, plan[one].share if one in plan else 0] for one, digest in digests(plan).items()])
    return f"{profile} {hashlib.blake2b(text.encode(), digest_size=6).hexdigest()}"


def stamp(profile: str) -> dict[str, str]:
    """The plan of a profile, the last commit to what judges and is judged, and versions of what a figure depends on."""
    git = ["git", "-C", str(Path(__file__).parents[1]), "log", "-1", "--format=%h", "--", "harness", "specs", "impl"]
    commit = subprocess.run(git, capture_output=True, text=True, check=True)
    versions = {name: importlib.metadata.version(name) for name in PACKAGES}
    return {"plan": plan_of(profile), "commit": commit.stdout.strip(), "python": platform.python_version(), **versions}


def line(command: str, profile: str) -> str:
    """The stamp of a page that `command` made."""
    made = ", ".join(f"{name} {value}" for name, value in stamp(profile).items())
    return f"<!-- made by `{command}`: {made} -->"
