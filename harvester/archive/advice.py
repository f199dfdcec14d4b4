"""What to do about an error of the storage, by its number.

In:   an `errno`.  Out: the second half of a StorageError's sentence; and which errors say that there is no room.
"""

from __future__ import annotations

import errno

ADVICE = {
    errno.ENOSPC: "the disk is full; make room and run again: what is saved stays",
    errno.EDQUOT: "the quota is used up; raise it or make room and run again: what is saved stays",
    errno.EROFS: "the file system is read-only; mount it writable and run again",
    errno.EACCES: "permission denied; give the user that runs harvester the right to write there",
    errno.EPERM: "the operation is not permitted; give the user that runs harvester the right to write there",
    errno.EIO: "the device reports an error; check the disk before the next run",
    errno.ESTALE: "the share was taken away; mount it again and run again",
    errno.EMFILE: "this process has too many open files; raise its limit (ulimit -n) or lower --workers, and run again",
    errno.ENOENT: "it is not there; is the disk or the share still mounted?",
    errno.ENOTCONN: "what serves the share has ended; mount it again and run again",
    errno.ECONNABORTED: "what serves the share has ended; mount it again and run again",
    errno.EHOSTDOWN: "the machine that serves the share does not answer; wait until it does and run again",
    errno.EHOSTUNREACH: "the machine that serves the share cannot be reached; mend the network and run again",
    errno.ETIMEDOUT: "the machine that serves the share does not answer in time; wait until it does and run again",
    errno.ENOMEM: "there is not enough memory; give the process or the machine more, and run again: what is saved stays",
    errno.ENOTDIR: "a file lies where a folder is to be; move it away, or name another folder",
    errno.EISDIR: "a folder lies where a file is to be; move it away, and run again",
    errno.EEXIST: "something else lies there already; move it away, or name another folder",
    errno.ELOOP: "links lead round in a circle there; name the folder itself",
    errno.ENAMETOOLONG: "the path is too long for this file system; name a folder with a shorter one",
    errno.EFBIG: "the file is too large for this file system, or for the limit of this process (ulimit -f)",
}
NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
"""What a new file would meet as well: somebody must make room first."""
