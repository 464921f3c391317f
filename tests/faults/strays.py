"""Backends that leave processes and threads behind."""

import os
import subprocess
import threading
import time

from fair import Fair


class LeavesAProcess(Fair):
    def fault(self):
        subprocess.Popen(["/bin/sleep", "1000"])


class LeavesASession(Fair):
    def fault(self):
        subprocess.Popen(["/bin/sleep", "1000"], start_new_session=True)


class LeavesADaemon(Fair):
    """Forked twice, in a session of its own: nobody's child."""

    def fault(self):
        if os.fork() == 0:
            os.setsid()
            if os.fork() == 0:
                time.sleep(1000)
            os._exit(0)
        os.wait()


class LeavesADaemonAndCrashes(LeavesADaemon):
    says = "the worker process was ended by SIGABRT"

    def fault(self):
        super().fault()
        os.abort()


class GoesOnTwice(Fair):
    """Its copy returns from the call as well, to the judge's own loop."""

    forked = False

    def fault(self):
        if not self.forked:
            self.forked = True
            os.fork()


class LeavesAThread(Fair):
    def fault(self):
        threading.Thread(target=time.sleep, args=(1000,)).start()
