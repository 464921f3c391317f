"""Runs commands, and pytest, as forks of this process, which has loaded what they and their workers load.

For tests of what a command does, which doesn't depend on how Python begins. A command is a process of its own, in a
folder and an environment of its own; so is what its workers are forked from, which would be spawned otherwise.

Asked on its standard input, a socket, with JSON that names the program, `keeprate` or `pytest`, and the two files that
are written to; answers with the number of the process, and then with its exit code.
"""

import atexit
import gc
import json
import os
import select
import signal
import socket
import subprocess
import sys
import traceback
from pathlib import Path

import numpy as np
import pytest

from keeprate.harness.commands.entry import main
from keeprate.harness.protocol.suite import default_suite, load_suite
from keeprate.harness.workers import child_main, fork_main, launch, process_tree

COIN = str(Path(__file__).with_name("coin.py"))
LARGEST = 1 << 17  # bytes of a request
FILES = 1 << 12  # descriptors that a process may have
spawned = launch.spawned


def prepare():
    """Loads both suites that nearly all tests judge by, makes their plans, and loads PyTorch."""
    process_tree._where()  # the mark that this program began with, before the environment is changed
    for name in (COIN, default_suite()):
        suite = load_suite(name)
        suite.promises("quick")
        child_main.Prepared(suite, alone=False)


def serve():
    """Forks a command for each request; returns in it."""
    requests = socket.socket(fileno=os.dup(0))
    while True:
        message, files, *_ = socket.recv_fds(requests, LARGEST, 2)
        if not message:
            os._exit(0)
        if number := os.fork():
            for file in files:
                os.close(file)
            requests.send(str(number).encode())
            _, status = os.waitpid(number, 0)
            requests.send(str(os.waitstatus_to_exitcode(status)).encode())
            continue
        requests.close()
        become(files, **json.loads(message))
        return


def become(files, program, arguments, folder, environment):
    """Makes this process what the command would find when it begins."""
    for number, file in zip((0, 1, 2), (os.open(os.devnull, os.O_RDONLY), *files), strict=True):
        os.dup2(file, number)
        os.close(file)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment | launch.SINGLE_THREADED)
    sys.argv = [program, *arguments]
    if program == "pytest":
        sys.path.insert(0, folder)  # as `python -m` does
    np.random.seed()
    load_suite(default_suite()).forked()
    launch.spawned = forked


class Forked:
    """A child, as `subprocess.Popen` shows it."""

    def __init__(self, pid, stdout):
        self.pid, self.stdout, self.returncode = pid, os.fdopen(stdout, "rb"), None
        self._ended = os.pidfd_open(pid)

    def kill(self):
        if self.returncode is None:
            os.kill(self.pid, signal.SIGKILL)

    def wait(self, timeout=None):
        if self.returncode is None:
            if not select.select([self._ended], [], [], timeout)[0]:
                raise subprocess.TimeoutExpired(str(self.pid), timeout)
            self.returncode = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
            os.close(self._ended)
        return self.returncode


def forked(module, lifeline, *arguments, mark, stdin=subprocess.PIPE):
    """In the place of `launch.spawned`: what workers are forked from is forked itself."""
    if module != "fork_main":
        return spawned(module, lifeline, *arguments, mark=mark, stdin=stdin)
    stdout, write = os.pipe()
    if number := os.fork():
        os.close(write)
        return Forked(number, stdout)
    try:
        os.setsid()
        for descriptor, file in ((0, stdin), (1, write), (2, os.open(os.devnull, os.O_WRONLY))):
            os.dup2(file, descriptor)
        os.closerange(3, lifeline)
        os.closerange(lifeline + 1, FILES)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        os.environ[process_tree.MARK] = mark
        sys.argv = [fork_main.__file__, str(lifeline), *arguments]
        fork_main.main()
        code = 0
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else bool(ended.code)
    except BaseException:  # noqa: BLE001
        traceback.print_exc()
        code = 1
    finally:
        os._exit(code)


def run():
    """The command, to its exit code; Python would take apart all that is loaded, which takes longer than most."""
    try:
        sys.exit(pytest.main() if sys.argv[0] == "pytest" else main())
    except SystemExit as ended:
        atexit._run_exitfuncs()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(ended.code or 0)


if __name__ == "__main__":
    prepare()
    gc.collect()
    gc.freeze()  # or each fork would copy it
    serve()
    run()
