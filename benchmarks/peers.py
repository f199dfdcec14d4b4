"""Compare harvester with what a user would run instead, side by side, and write the figures down.

In:   sizes, rounds, folders to write to.  Out: tables on stdout; benchmarks/RESULTS.md.

    python benchmarks/peers.py                                everything; half an hour, 8 GB of memory and 5 GB of disk
    python benchmarks/peers.py --size 5000x64K --on /dev/shm  one size, in one place: printed, not written down
    python benchmarks/peers.py --smoke                        seconds: a few calls, once, with what is installed
    python benchmarks/peers.py --only curl --parallel curl=16 --size 300x64K      to try another setting
    python benchmarks/peers.py --size 5000x64K --on /dev/shm --only wget2 --only script --results benchmarks/RESULTS.md
                                                              a piece that is written down: some minutes

For Debian. What is missing is installed: nginx, wget2, aria2, jq and so on by apt-get, as root or by sudo; Scrapy and what the
script needs into environments in the working folder. Nothing else leaves this machine: the platform is nginx, on 127.0.0.1.
"""

from __future__ import annotations

import argparse
import re
import shutil
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

import msgspec
from compare import rounds
from contestants import CONTESTANTS, HARVESTER, Contestant, own_python
from nginx_site import Site
from provide import has_packages, missing_tools, provide_python, provide_tools
from results import Machine, put, text_of
from standing import Size, section_of

RESULTS = Path(__file__).with_name("RESULTS.md")
MEMORY = Path("/dev/shm")
SIZES = [Size(calls=2000, recording_bytes=2**20), Size(calls=5000, recording_bytes=64 * 2**10)]
SMOKE = [Size(calls=120, recording_bytes=4 * 2**10)]
ROUNDS = 5

UNITS = {"": 1, "K": 2**10, "M": 2**20}
BESIDE_RECORDINGS_BYTES = 30_000
"""How much room a call takes beside its recording: small files, blocks, logs."""


def main(arguments: list[str]) -> None:
    """Compare whom and where it was asked for."""
    parser = _parser()
    asked = parser.parse_args(arguments)
    if not sys.platform.startswith("linux"):
        parser.error("it takes Debian's tools and reads /proc, so this needs Linux")
    sizes = asked.size or (SMOKE if asked.smoke else SIZES)
    times = asked.rounds or (1 if asked.smoke else ROUNDS)
    contestants = _chosen(asked.only, dict(asked.parallel))
    whole = not (asked.size or asked.smoke or asked.only or asked.parallel) and times >= ROUNDS
    results = asked.results or (RESULTS if whole else None)
    with ExitStack() as until_the_end:  # nothing is removed before: see `hollow_out`

        def made_in(place: Path | None) -> Path:
            return Path(until_the_end.enter_context(tempfile.TemporaryDirectory(prefix="harvester-peers-", dir=place)))

        folder = asked.folder.resolve() if asked.folder else made_in(None)
        folder.mkdir(parents=True, exist_ok=True)
        contestants, pythons = _provided(contestants, folder, install=not asked.smoke)
        places = asked.on or ([folder] if asked.smoke else [MEMORY, Path(tempfile.gettempdir())])
        for size in sizes:
            site = Site(made_in(folder), calls=size.calls, recording_bytes=size.recording_bytes)
            site.make()
            for place in places:
                machine = Machine.here(place)
                _check_room(place, size)
                with site:
                    runs = rounds(contestants, site, made_in(place), times=times, pythons=pythons, say=_say)
                text = text_of(section_of(contestants, runs, size, place), machine)
                print(text, flush=True)
                if results:
                    put(results, text)


def _check_room(place: Path, size: Size) -> None:
    needed = size.calls * (size.recording_bytes + BESIDE_RECORDINGS_BYTES)
    if shutil.disk_usage(place).free < needed:
        raise SystemExit(f"{place} has no room for {needed / 1e9:.1f} GB; name another folder with --on")


def _provided(contestants: list[Contestant], folder: Path, *, install: bool) -> tuple[list[Contestant], dict[str, str]]:
    """Return who can take part, and everybody's interpreter. Without `install` only what is there takes part."""
    if install:
        provide_tools()
        pythons = {
            each.name: provide_python(each.packages, folder / "environments" / each.name)
            if each.packages
            else own_python()
            for each in contestants
        }
        return contestants, pythons
    if missing := missing_tools():
        raise SystemExit(f"missing: {', '.join(missing)}; without --smoke they are installed")
    present = [each for each in contestants if has_packages(each.packages)]
    for each in contestants:
        if each not in present:
            _say(f"{each.name} is left out: it needs {', '.join(each.packages)}; without --smoke they are installed")
    return present, {each.name: own_python() for each in present}


def _chosen(only: list[str], parallel: dict[str, int]) -> list[Contestant]:
    chosen = [each for each in CONTESTANTS if each.name == HARVESTER or not only or each.name in only]
    return [msgspec.structs.replace(each, parallel=parallel.get(each.name, each.parallel)) for each in chosen]


def _parser() -> argparse.ArgumentParser:
    peers = [each.name for each in CONTESTANTS if each.name != HARVESTER]
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument(
        "--size", type=_size, action="append", help="calls and bytes of each recording, as 5000x64K; repeatable"
    )
    parser.add_argument("--rounds", type=int, help=f"how often everybody runs; default: {ROUNDS}")
    parser.add_argument(
        "--on",
        type=Path,
        action="append",
        metavar="FOLDER",
        help="where they write; repeatable; default: memory, then the disk",
    )
    parser.add_argument(
        "--only", choices=peers, action="append", default=[], help="compare with these alone; repeatable"
    )
    parser.add_argument(
        "--parallel",
        type=_parallel,
        action="append",
        default=[],
        metavar="NAME=N",
        help="how many downloads at once; repeatable",
    )
    parser.add_argument(
        "--folder", type=Path, help="keeps the environments for the next time; default: a temporary folder"
    )
    parser.add_argument("--smoke", action="store_true", help="a few calls, once; installs nothing")
    parser.add_argument("--results", type=Path, help=f"where the figures go; default: {RESULTS.name} beside this file")
    return parser


def _size(text: str) -> Size:
    found = re.fullmatch(r"(\d+)x(\d+)([KM]?)", text)
    if not found or not int(found[1]):
        raise argparse.ArgumentTypeError(f"{text!r} is not like 5000x64K")
    return Size(calls=int(found[1]), recording_bytes=int(found[2]) * UNITS[found[3]])


def _parallel(text: str) -> tuple[str, int]:
    name, _, number = text.partition("=")
    if name not in {each.name for each in CONTESTANTS} or not number.isdecimal() or not int(number):
        raise argparse.ArgumentTypeError(f"{text!r} is not like curl=16")
    return name, int(number)


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
