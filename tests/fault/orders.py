"""The words in which `passthrough` is ordered to fail."""

KILL = "kill"
"""Kill who asks, before anything is done."""

HALF = "half"
"""Write only half of what was given."""

WRITING = ("create", "mkdir", "open", "write", "truncate", "fsync", "fsyncdir", "flush", "rename", "unlink", "rmdir")
"""All that a run asks of the file system besides looking."""
