"""docs/mlx.md says what is so: each of its blocks is run."""

import re
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "mlx.md"
BLOCKS = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)


@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: block.split("\n")[0].replace(" ", "_"))
def test_a_block_of_the_documentation_runs(block):
    """Rates of 4096 fair draws are outside (0.45, 0.55) with a chance of 2e-10."""
    exec(compile(block, str(PAGE), "exec"), {})  # noqa: S102 - our own page


def test_the_page_has_blocks():
    assert len(BLOCKS) == 7
