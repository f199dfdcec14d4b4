"""Run a command, and write down how much memory it took at most.

In:   a file for the figure, a command.  Out: the end of the command, which becomes this process's own.

The kernel keeps a process's high-water mark through `exec`: what is started by a large process seems to be as large. So this
small one stands between the tests and the command. The mark is that of the largest process below, be it strace, which is smaller
than any run.
"""

import os
import signal
import sys
from pathlib import Path

KIB = 1024

if __name__ == "__main__":
    figure, *command = sys.argv[1:]
    child = os.posix_spawnp(command[0], command, os.environ)
    _, status, usage = os.wait4(child, 0)
    Path(figure).write_text(str(usage.ru_maxrss * KIB))
    code = os.waitstatus_to_exitcode(status)
    if code < 0:
        if -code != signal.SIGKILL:
            signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    sys.exit(code)
