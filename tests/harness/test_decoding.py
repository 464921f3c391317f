"""Decoding in several threads at once, of types that nobody has decoded yet."""

import subprocess
import sys
from textwrap import dedent

import pytest

# Each round makes types of its own, whose annotations are strings, as ours are.
ROUND = """
    import faulthandler, sys, threading
    from typing import Optional

    import msgspec
    from keeprate.harness.evidence.decoding import converted, parsed

    faulthandler.enable()
    sys.setswitchinterval(1e-6)
    for _ in range(300):
        Inner = msgspec.defstruct("Inner", [(f"a{i}", "Optional[int]", None) for i in range(8)], module=__name__)
        Outer = msgspec.defstruct("Outer", [(f"b{i}", "Optional[Inner]", None) for i in range(8)], module=__name__)
        start, wrong = threading.Barrier(2), []

        def decode():
            start.wait()
            try:
                assert {statement}.b1.a2 == 3
            except BaseException as error:
                wrong.append(error)

        threads = [threading.Thread(target=decode) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not wrong, wrong
"""


@pytest.mark.parametrize(
    "statement",
    ['converted({"b1": {"a2": 3}}, Outer)', """parsed('{"b1": {"a2": 3}}', Outer)"""],
    ids=["values", "text"],
)
def test_two_threads_may_be_the_first_to_decode_a_type(statement):
    run = subprocess.run([sys.executable, "-c", dedent(ROUND).replace("{statement}", statement)], capture_output=True)
    assert (run.returncode, run.stderr) == (0, b"")
