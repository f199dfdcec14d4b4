"""Numbers as people read them.

In:   counts, sizes in bytes, spans in seconds.  Out: `2 calls`, `12.3 MB`, `3 min 05 s`.
"""

from __future__ import annotations


def counted(number: int, noun: str) -> str:
    """Return a number with its noun: `1 call`, `2 calls`."""
    return f"1 {noun}" if number == 1 else f"{number:,} {noun}s"


def size_text(size_bytes: float) -> str:
    """Return a size for people: `12.3 MB` (units of 1000)."""
    for unit in ("bytes", "kB", "MB", "GB"):
        if size_bytes < 999.95:  # what is above is written as 1.0 of the next unit
            return f"{size_bytes:.0f} bytes" if unit == "bytes" else f"{size_bytes:.1f} {unit}"
        size_bytes /= 1000
    return f"{size_bytes:.1f} TB"


def duration_text(seconds: float) -> str:
    """Return a span of time, in seconds, for people: `4.2 s`, `3 min 05 s`, `2 h 10 min`."""
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02} s"
    return f"{minutes // 60} h {minutes % 60:02} min"
