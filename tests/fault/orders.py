"""The words in which `passthrough` is ordered to fail."""

KILL = "kill"
"""Kill who asks, before anything is done."""

HALF = "half"
"""Write only half of what was given."""

DIE = "die"
"""End the file system itself, as a share whose server has gone."""

WRITING = ("create", "mkdir", "open", "write", "truncate", "fsync", "fsyncdir", "flush", "rename", "unlink", "rmdir")
"""All that a run asks of the file system besides looking."""
