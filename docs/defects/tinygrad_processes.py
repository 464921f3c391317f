"""tinygrad: processes that start in the same second and set no seed draw the same masks."""

import subprocess
import sys
from importlib.metadata import version

CODE = """
from tinygrad import Context, Tensor
with Context(TRAINING=1):
    print((Tensor.ones(64).contiguous().dropout(0.5).numpy() > 0).tolist())
"""
started = [subprocess.Popen([sys.executable, "-c", CODE], stdout=subprocess.PIPE, text=True) for _ in range(4)]
masks = {process.communicate()[0] for process in started}
print(
    f"tinygrad {version('tinygrad')}: {len(masks)} different masks in 4 processes (4; the seed is the time in seconds)"
)
