"""Write what was measured into RESULTS.md: a section for each measurement, replaced when it is measured again.

In:   figures with their targets, and how they were measured.  Out: Markdown, and the machine that they are of.
"""

from __future__ import annotations

import datetime as dt
import os
import platform
import re
from pathlib import Path

import msgspec

HEAD = """# Results

Figures of `benchmarks/scale.py` and `benchmarks/peers.py`, each beside its target. A section is replaced when its
measurement is run again.
Figures of memory and ratios hold on any machine; times are those of the machine named, and of the load that it had.
MB are millions of bytes.
"""


class Figure(msgspec.Struct, frozen=True, kw_only=True):
    """One figure. `met` tells whether it meets its target; None: it has none, or could not be measured."""

    name: str
    measured: str
    target: str = ""
    met: bool | None = None


class Table(msgspec.Struct, frozen=True, kw_only=True):
    """Figures of several things beside each other. The first column names the thing."""

    columns: list[str]
    rows: list[list[str]]


class Section(msgspec.Struct, frozen=True, kw_only=True):
    """One measurement: its figures, and how they were got; before them a table, where there is more to show."""

    title: str
    figures: list[Figure]
    how: str
    table: Table | None = None


class Machine(msgspec.Struct, frozen=True, kw_only=True):
    """What the figures are of."""

    text: str
    load_at_start: float

    @classmethod
    def here(cls, folder: Path) -> Machine:
        """Describe this machine, now; `folder` is where the archive lies."""
        memory_bytes = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
        return cls(
            text=f"{os.cpu_count()} cores ({_processor()}), {memory_bytes / 2**30:.0f} GiB of memory, "
            f"{platform.system()} {platform.release().split('-')[0]}, Python {platform.python_version()}, "
            f"archive on {file_system(folder)}",
            load_at_start=os.getloadavg()[0],
        )


def text_of(section: Section, machine: Machine) -> str:
    """Return a section as Markdown."""
    lines = [f"## {section.title}", ""]
    if section.table:
        lines += [*_table_lines(section.table), ""]
    lines += ["| figure | target | measured | |", "|---|---|---|---|"]
    for figure in section.figures:
        verdict = {True: "met", False: "**not met**", None: ""}[figure.met]
        lines.append(f"| {figure.name} | {figure.target} | {figure.measured} | {verdict} |")
    load = f"load average {machine.load_at_start:.1f} at the start, {os.getloadavg()[0]:.1f} at the end"
    lines += ["", section.how, "", f"Measured on {dt.datetime.now(dt.UTC):%Y-%m-%d}: {machine.text}; {load}."]
    return "\n".join(lines) + "\n"


def put(path: Path, text: str) -> None:
    """Put a section into the file, in place of the one with the same title, else behind the others."""
    old = path.read_text() if path.exists() else HEAD
    title = text.partition("\n")[0]
    head, *sections = re.split(r"^(?=## )", old, flags=re.MULTILINE)
    kept = [each.strip() for each in sections]
    places = [nth for nth, each in enumerate(kept) if each.partition("\n")[0] == title]
    if places:
        kept[places[0]] = text.strip()
    else:
        kept.append(text.strip())
    path.write_text("\n\n".join([head.strip(), *kept]) + "\n")


def megabytes(size_bytes: int) -> str:
    """Return a size in millions of bytes."""
    return f"{size_bytes / 1e6:.0f} MB"


def _table_lines(table: Table) -> list[str]:
    rule = "|---|" + "---:|" * (len(table.columns) - 1)
    return [f"| {' | '.join(table.columns)} |", rule, *(f"| {' | '.join(row)} |" for row in table.rows)]


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        name, _, value = line.partition(":")
        if name.strip() == "model name":
            return value.strip()
    return platform.machine()


def file_system(folder: Path) -> str:
    """Return the type of the file system that a folder lies on: that of the longest mount point above it."""
    found = ("", "an unknown file system")
    for line in Path("/proc/mounts").read_text().splitlines():
        _, mount_point, kind = line.split()[:3]
        if folder.resolve().is_relative_to(mount_point) and len(mount_point) > len(found[0]):
            found = mount_point, kind
    return found[1]
