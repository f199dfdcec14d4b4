"""Merkle trees of RFC 9162: one hash that stands for a whole list, and short proofs that an entry is in it.

In:   entries: the lines of a manifest or of a ledger, each without its newline.  Out: roots, and paths that lead to them.

A leaf is SHA-256 of 0x00 and the entry, a node SHA-256 of 0x01 and its two children (RFC 9162, 2.1.1): a leaf can therefore
never pass for a node. Who is shown one entry and its path can recompute the root from them, and learns nothing of the other
entries. Trees are built as a stream: a root needs the hashes of one branch at a time, whatever the number of entries.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable

HASH_BYTES = 32
LEAF = hashlib.sha256(b"\x00")
NODE = hashlib.sha256(b"\x01")
"""What each hash begins with. They are copied, which takes less time than to begin anew."""


class Tree:
    """A tree that grows by one entry at a time; only the roots of its full subtrees are kept, at most one of each size."""

    def __init__(self) -> None:
        self.size = 0  # entries
        self._full: list[bytes] = []  # roots of the full subtrees, largest first: one for each set bit of `size`

    def add(self, entry: bytes) -> None:
        """Add an entry behind the others."""
        node = _leaf(entry)
        size = self.size
        while size & 1:
            node = _node(self._full.pop() + node)
            size >>= 1
        self._full.append(node)
        self.size += 1

    def root(self) -> bytes:
        """Return the hash of the tree; that of an empty one is SHA-256 of nothing (RFC 9162, 2.1.1)."""
        if not self._full:
            return hashlib.sha256().digest()
        node = self._full[-1]
        for left in reversed(self._full[:-1]):
            node = _node(left + node)
        return node


def inclusion_proofs(entries: Iterable[bytes], wanted: Collection[int]) -> tuple[bytes, dict[int, list[bytes]]]:
    """Return the root over the entries, and for each wanted index (from 0) its path: the hashes beside it, lowest first.

    Needs 32 bytes for each entry. Raises IndexError for an index behind the last entry.
    """
    level = bytearray()
    for entry in entries:
        level += _leaf(entry)
    count = len(level) // HASH_BYTES
    if any(not 0 <= index < count for index in wanted):
        raise IndexError(f"there are {count} entries, and a proof is asked for one that is not among them")
    paths: dict[int, list[bytes]] = {index: [] for index in wanted}
    shift = 0
    while count > 1:
        for index, path in paths.items():
            beside = (index >> shift) ^ 1
            if beside < count:  # the last node of an odd level has none: it is lifted as it is
                path.append(bytes(level[beside * HASH_BYTES : (beside + 1) * HASH_BYTES]))
        level, count, shift = _above(level, count), (count + 1) // 2, shift + 1
    return (bytes(level) if level else hashlib.sha256().digest()), paths


def root_from(entry: bytes, index: int, size: int, path: Iterable[bytes]) -> bytes | None:
    """Return the root that an entry and its path lead to (RFC 9162, 2.1.3.2); None where the path's length does not fit.

    `index` is from 0, `size` a count: the entries of the tree.
    """
    node = _leaf(entry)
    if not 0 <= index < size:
        return None
    last = size - 1
    for beside in path:
        if last == 0:
            return None
        if index & 1 or index == last:
            node = _node(beside + node)
            while not index & 1 and index:
                index, last = index >> 1, last >> 1
        else:
            node = _node(node + beside)
        index, last = index >> 1, last >> 1
    return node if last == 0 else None


def _leaf(entry: bytes) -> bytes:
    """Return the hash of an entry."""
    leaf = LEAF.copy()
    leaf.update(entry)
    return leaf.digest()


def _node(children: bytes | bytearray) -> bytes:
    """Return the hash above two others, which are given behind one another."""
    node = NODE.copy()
    node.update(children)
    return node.digest()


def _above(level: bytearray, count: int) -> bytearray:
    """Return the hashes of the level above one of `count` nodes."""
    above = bytearray()
    pair = 2 * HASH_BYTES
    for start in range(0, (count // 2) * pair, pair):
        above += _node(level[start : start + pair])
    if count % 2:
        above += level[-HASH_BYTES:]
    return above
