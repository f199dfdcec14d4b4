"""Have what a comparison needs: tools from Debian, and Python packages in environments of their own.

In:   names of commands, packages.  Out: they are there, or SystemExit tells what to install.

Debian starts nginx as a service when it installs it; that one is none of ours, and is left as it is.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

from nginx_site import nginx_path

DEBIAN = {
    "nginx": "nginx",
    "wget2": "wget2",
    "aria2c": "aria2",
    "jq": "jq",
    "curl": "curl",
    "openssl": "openssl",
    "awk": "mawk",
    "find": "findutils",
    "sha256sum": "coreutils",
}
"""Which of Debian's packages brings which command."""


def missing_tools() -> list[str]:
    """Return the commands that are not there."""
    return [name for name in DEBIAN if not (nginx_path() if name == "nginx" else shutil.which(name))]


def provide_tools() -> None:
    """Install what is missing, by apt-get, as root or by sudo. SystemExit where that is not possible."""
    packages = sorted({DEBIAN[name] for name in missing_tools()})
    if not packages:
        return
    install = ["apt-get", "install", "--yes", "--no-install-recommends", *packages]
    rights = [] if os.geteuid() == 0 else ["sudo"]
    if not all(map(shutil.which, ["apt-get", *rights])):
        raise SystemExit(f"missing: {', '.join(packages)}. Install them, then try again")
    for command in (["apt-get", "update"], install):
        if subprocess.call([*rights, *command], stdout=sys.stderr):
            raise SystemExit(f"could not install {', '.join(packages)}: `{' '.join([*rights, *command])}` failed")


def provide_python(packages: Iterable[str], environment: Path) -> str:
    """Return an interpreter that has these packages: of an environment in that folder, made anew unless it is there."""
    python = environment / "bin" / "python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", str(environment)], check=True)
    install = [str(python), "-m", "pip", "install", "-qq", "--disable-pip-version-check", *packages]
    if subprocess.call(install):
        raise SystemExit(f"could not install {', '.join(packages)} into {environment}")
    return str(python)


def has_packages(packages: Iterable[str]) -> bool:
    """Whether the interpreter that runs this has them."""
    return all(importlib.util.find_spec(name) for name in packages)
