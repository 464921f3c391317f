"""What the tests of the harness share: the real command, files to judge, and the public JSON's schema."""

import json
import os
import signal
import socket
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryFile

import jsonschema
import pytest

from keeprate.harness.protocol.lookup import find
from keeprate.harness.workers.launch import SINGLE_THREADED
from keeprate.harness.workers.process_tree import MARK

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
COIN = str(HERE / "coin.py")
COINS = str(HERE / "coins.py")
SECONDS = 120  # that a command may take
FORKS = sys.platform == "linux" and hasattr(os, "pidfd_open")
CONSOLE_SCRIPT = str(Path(sys.executable).with_name("keeprate"))


@dataclass(frozen=True)
class Run:
    code: int
    out: str
    err: str


def environment():
    """Without traces of the pytest that is running."""
    return {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "PY_COLORS"))}


def started(*command, cwd):
    """A real process."""
    done = subprocess.run(
        command, cwd=cwd, env=environment(), capture_output=True, text=True, timeout=SECONDS, check=False
    )
    return Run(done.returncode, done.stdout, done.stderr)


@pytest.fixture(scope="session")
def unprivileged():
    """Words before a command that make it a user's own: root may read and write all, unless it gives that up (Linux).

    A program of its own does so, for to fork pytest itself where a test imported JAX is an error.
    """
    drop = (
        "[ctypes.CDLL(None).prctl(24, capability, 0, 0, 0) for capability in (1, 2)]"  # CAP_DAC_* of the bounding set
    )
    return [
        sys.executable,
        "-c",
        f"import ctypes, os, sys\nos.geteuid() or {drop}\nos.execv(sys.argv[1], sys.argv[1:])",
    ]


@pytest.fixture
def process(tmp_path):
    """A command in an empty folder."""
    return lambda *command: started(*map(str, command), cwd=tmp_path)


@pytest.fixture
def console_script(process):
    """The command from the very beginning, in an empty folder."""
    return lambda *arguments: process(CONSOLE_SCRIPT, *arguments)


@pytest.fixture(scope="session")
def commands():
    """What commands are forked from, in a process that has loaded what they load."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    nobody = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    marked = {**environment(), **SINGLE_THREADED, MARK: "0" * 16}
    with subprocess.Popen([sys.executable, "-P", HERE / "commands.py"], stdin=theirs, env=marked, **nobody):
        theirs.close()
        with ours:
            yield ours


class Begun:
    """A command that was forked and runs, one at a time; as `subprocess.Popen` shows it."""

    def __init__(self, commands, program, *arguments, cwd, out, err):
        request = {"program": program, "arguments": arguments, "folder": str(cwd), "environment": environment()}
        self._commands = commands
        commands.settimeout(SECONDS)
        socket.send_fds(commands, [json.dumps(request).encode()], [out.fileno(), err.fileno()])
        self.pid = int(commands.recv(16))

    def send_signal(self, number):
        os.kill(self.pid, number)

    def wait(self):
        try:
            return int(self._commands.recv(16))
        except TimeoutError:
            self.send_signal(signal.SIGKILL)
            self._commands.recv(16)
            raise


def asked(commands, program, *arguments, cwd):
    """A command that is forked."""
    with TemporaryFile("w+") as out, TemporaryFile("w+") as err:
        code = Begun(commands, program, *arguments, cwd=cwd, out=out, err=err).wait()
        out.seek(0), err.seek(0)
        return Run(code, out.read(), err.read())


@pytest.fixture
def keeprate(request, console_script, tmp_path):
    """The same, as a fork of a process that has loaded what a command loads, where that is possible."""
    if not FORKS:
        return console_script
    commands = request.getfixturevalue("commands")
    return lambda *arguments: asked(commands, "keeprate", *map(str, arguments), cwd=tmp_path)


@pytest.fixture
def begun(request, tmp_path):
    """The same, begun and not waited for; nobody reads what it says."""

    def begin(*arguments):
        words = map(str, arguments)
        if not FORKS:
            return subprocess.Popen([CONSOLE_SCRIPT, *words], stdout=nowhere, stderr=nowhere, cwd=tmp_path)
        return Begun(request.getfixturevalue("commands"), "keeprate", *words, cwd=tmp_path, out=nowhere, err=nowhere)

    with open(os.devnull, "w") as nowhere:
        yield begin


@pytest.fixture
def command(monkeypatch, capsys, tmp_path):
    """The same in this process, in an empty folder: for what is refused before anything is started."""
    from keeprate.harness.commands.entry import main

    def run(*arguments):
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(sys, "argv", ["keeprate", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        out, err = capsys.readouterr()
        return Run(ended.value.code or 0, out, err)

    return run


@pytest.fixture
def python(process):
    """A fresh interpreter that runs a script in an empty folder."""
    return lambda script: process(sys.executable, "-P", "-c", script)


@pytest.fixture
def real_pytest(request):
    """The real pytest, in the repository; forked where that is possible."""

    def run(*arguments, cwd=ROOT):
        words = ("-p", "no:cacheprovider", *map(str, arguments))
        if not FORKS:
            return started(sys.executable, "-m", "pytest", *words, cwd=cwd)
        return asked(request.getfixturevalue("commands"), "pytest", *words, cwd=cwd)

    return run


@pytest.fixture(scope="session")
def coin():
    """Path of the coin's suite."""
    return COIN


@pytest.fixture(scope="session")
def coins():
    """Path of the file of coins."""
    return COINS


@pytest.fixture(scope="session")
def interrupt():
    """An interrupt at any step of what runs in its `with`."""
    return find(str(HERE / "interrupt.py"), group="", kind="module").Interrupt


@pytest.fixture(scope="session")
def schema():
    """The public JSON's schema; checked itself."""
    text = json.loads((ROOT / "harness" / "verdict.schema.json").read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator.check_schema(text)
    return jsonschema.Draft202012Validator(text)


@pytest.fixture
def verdict(schema):
    """Reads a file of public JSON, and checks it against the schema."""

    def read(path):
        data = json.loads(Path(path).read_text(encoding="utf-8"))
        schema.validate(data)
        return data

    return read


NUMPY_DROPOUT = '''\
"""Dropout in NumPy, judged as a file."""
import numpy as np

name, version, device = "numpy", np.__version__, "cpu"
layout = "channels_first"
dtypes = ("float32",)
random = np.random.default_rng()


def seed(value):
    global random
    random = np.random.default_rng(value)


def asarray(x, dtype):
    return x.astype(dtype, order="K")


def asnumpy(x):
    return x


def dtype_of(x):
    return str(x.dtype)


def dropout(x, p, train):
    if not 0 <= p <= 1:
        raise ValueError(f"p = {p!r} is not between 0 and 1")
    if not train or p == 0:
        return x.copy()
    if p < 1 and x.dtype.kind != "f":
        raise TypeError(f"{x.dtype} is no floating type")
    scale = np.float32(1 / (1 - p) if p < 1 else 0)
    return np.asarray(x * ((random.random(x.shape) >= p) * scale))
'''


@pytest.fixture
def backend_file(tmp_path):
    """Writes a faithful NumPy backend to a file, with the replacements made in its text; returns its name."""

    def write(*replacements, name="mine.py", more=""):
        text = NUMPY_DROPOUT
        for old, new in replacements:
            assert old in text
            text = text.replace(old, new)
        (tmp_path / name).write_text(text + more, encoding="utf-8")
        return name

    return write
