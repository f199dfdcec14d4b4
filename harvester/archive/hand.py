"""The program of the scribe's process: write files that it is told of, and say what they hash to.

In:   the numbers of two open files: a socket of messages, and the memory in which the bytes lie.  Out: an answer to each message.

A message is a list of calls, in `marshal`; a call is where its bytes begin, the mode of its files, and a list of paths
and lengths, one behind the other.
The answer has the SHA-256 of each file in hex for each call; or, where one could not be written, which, the error's number, and
whether the file was there by then. It ends when nobody holds the other end of the socket any more.

It runs by itself, without site-packages, so that it is there in some milliseconds: nothing of ours is imported here.
"""

import hashlib
import marshal
import mmap
import os
import signal
import socket
import sys

MESSAGE_BYTES = 64 * 1024
FLAGS = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0)

Work = tuple[int, int, list[tuple[str, int]]]
Answer = list[str] | tuple[int, int, bool]


def main(numbers: list[str]) -> None:
    """Serve until the other end is closed. Signals are the run's to answer: who ends the run ends this."""
    for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(each, signal.SIG_IGN)
    with socket.socket(fileno=int(numbers[0])) as channel, mmap.mmap(int(numbers[1]), 0) as memory:
        view = memoryview(memory)
        while message := channel.recv(MESSAGE_BYTES):
            channel.send(marshal.dumps([written(view, work) for work in marshal.loads(message)]))
        view.release()


def written(memory: memoryview, work: Work) -> Answer:
    """Write the files of one call; return what they hash to, or what has failed."""
    start, mode, files = work
    digests: list[str] = []
    for path, size_bytes in files:
        data = memory[start : start + size_bytes]
        start += size_bytes
        is_there = False
        try:
            file = os.open(path, FLAGS, mode)
            is_there = True
            try:
                done = os.write(file, data)
                while done < size_bytes:
                    done += os.write(file, data[done:])
            finally:
                os.close(file)
        except OSError as error:
            return len(digests), error.errno or 0, is_there
        digests.append(hashlib.sha256(data).hexdigest())
    return digests


if __name__ == "__main__":
    main(sys.argv[1:])
