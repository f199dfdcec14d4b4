"""What the run and its porters say to each other.

In:   on a porter's stdin `Terms` once, then `Batch`es.  Out: on its stdout a `Return` for each batch, in the same order.

Messages are msgpack behind their length in bytes (4, big-endian).
"""

from __future__ import annotations

import os
from typing import Final

import msgspec

from harvester.container.sniff import Container
from harvester.model import Transfer

LENGTH_BYTES: Final = 4


class Terms(msgspec.Struct, frozen=True, kw_only=True):
    """How a porter is to work."""

    base_url: str  # links to its origin need the key, and are left to the run
    mode: int  # with which files are made
    headers: dict[str, str]  # with which is asked
    ca_file: str | None  # whom to trust, as OpenSSL wants it
    ca_folder: str | None
    max_file_bytes: int | None
    hosts: tuple[str, ...]
    allow_private_hosts: bool


class Errand(msgspec.Struct, frozen=True, array_like=True):
    """A recording to fetch, and the path of the part that it is to fill."""

    link: str
    place: bytes  # as the file system has it: a path may be no text

    @classmethod
    def to(cls, link: str, place: str) -> Errand:
        """Return one with a path as text."""
        return cls(link, os.fsencode(place))


class Batch(msgspec.Struct, frozen=True, array_like=True):
    """Errands that are sent together."""

    errands: list[Errand]
    connections: int  # how many recordings may be fetched at the same time, from now on


class Brought(msgspec.Struct, frozen=True, array_like=True):
    """A recording that was accepted, and lies in its part, not yet durable."""

    sha256: str
    size_bytes: int
    container: Container
    proof: str
    transfer: Transfer


class Return(msgspec.Struct, frozen=True, array_like=True):
    """What has become of a batch: for each errand what it brought, None where it is left to the run."""

    brought: list[Brought | None]
    refused: bool  # whether a server has asked for patience (429, 503)
    cpu_seconds: float  # that the porter has spent so far


def framed(message: object) -> bytes:
    """Return a message as it is sent."""
    body = msgspec.msgpack.encode(message)
    return len(body).to_bytes(LENGTH_BYTES, "big") + body
