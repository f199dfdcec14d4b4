"""Get the API key, and keep it to ourselves.

In:   environment, file or command.  Out: the key, and a warning when others can read its file.

Never from a flag: every user of the machine sees the arguments of every process. The key is in no log, error, report or repr.
"""

from __future__ import annotations

import os
import shlex
import stat
import subprocess
from collections.abc import Mapping
from pathlib import Path

import msgspec

from harvester.errors import ConfigError
from harvester.settings import Resolved, Settings, environment_of, flag_of

VARIABLE = "HARVESTER_API_KEY"
CREDENTIAL = "harvester-api-key"
"""The name under which systemd's `LoadCredential=` hands it over."""

COMMAND_SECONDS = 60
LONGEST_KEY_BYTES = 65536


def key_of(resolved: Resolved, environment: Mapping[str, str]) -> tuple[str, str | None]:
    """Return the key and a warning or None, as `read_key`; but what is nearer to the user wins, as for every setting.

    --key-file and --key-command win over HARVESTER_API_KEY, and a key_command over a key_file from farther away. One of several
    accounts has the key that its settings name, and no other: one variable, or one credential, cannot be the key of several.
    Raises ConfigError.
    """
    settings = resolved.settings
    file, command = (_distance(resolved, name) for name in ("key_file", "key_command"))
    if command < file:
        settings = msgspec.structs.replace(settings, key_file=None)
    if resolved.account:
        environment = {}
    elif 0 in (file, command):
        environment = {**environment, VARIABLE: ""}
    return read_key(settings, environment)


def _distance(resolved: Resolved, name: str) -> int:
    """Return how far from the user a setting was given: 0 as a flag, 1 in the environment, 2 in the file, 3 not at all."""
    near = (flag_of(name), environment_of(name))
    source = resolved.sources[name]
    if source in near:
        return near.index(source)
    return 3 if source == "default" else 2


def has_key(resolved: Resolved, environment: Mapping[str, str]) -> bool:
    """Whether a key was given at all, by whichever way."""
    settings = resolved.settings
    return bool(environment.get(VARIABLE) or settings.key_file or settings.key_command or _credential(environment))


def read_key(
    settings: Settings, environment: Mapping[str, str], *, command_seconds: float = COMMAND_SECONDS
) -> tuple[str, str | None]:
    """Return the key, and a warning or None. The first of: environment, key_file, key_command, systemd credential.

    `command_seconds` is how long key_command may take. Raises ConfigError when there is no key, or it cannot be one.
    """
    warning = None
    if environment.get(VARIABLE):
        source, key = VARIABLE, environment[VARIABLE]
    elif settings.key_file:
        source, key, warning = str(settings.key_file), _from_file(settings.key_file), _openness(settings.key_file)
    elif settings.key_command:
        source, key = "key_command", _from_command(settings.key_command, command_seconds)
    elif credential := _credential(environment):
        source, key = f"the credential {CREDENTIAL}", _from_file(credential)
    else:
        folder = environment.get("CREDENTIALS_DIRECTORY")
        missing = f"; there is no {CREDENTIAL} among systemd's credentials" if folder else ""
        raise ConfigError(f"no API key: set {VARIABLE}, or name a file that holds it with --key-file{missing}")
    key = key.strip()
    if not key:
        raise ConfigError(f"{source} holds no API key: it is empty")
    if not key.isascii() or not key.isprintable() or " " in key:
        raise ConfigError(f"{source} holds no API key: there are spaces, line breaks or odd characters in it")
    return key, warning


def _credential(environment: Mapping[str, str]) -> Path | None:
    folder = environment.get("CREDENTIALS_DIRECTORY")
    path = Path(folder) / CREDENTIAL if folder else None
    return path if path and path.exists() else None


def _from_file(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return file.read(LONGEST_KEY_BYTES).decode()
    except OSError as error:
        raise ConfigError(f"the key file {path} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ConfigError(f"the key file {path} is not text") from None


def _openness(path: Path) -> str | None:
    if os.name == "nt" or not path.stat().st_mode & (stat.S_IRGRP | stat.S_IROTH):
        return None
    return f"others can read the key file {path}; close it with: chmod 600 {shlex.quote(str(path))}"


def _from_command(command: str, seconds: float) -> str:
    """Run the command without a shell. What it prints on stderr goes to the user's; what it prints on stdout nowhere."""
    try:
        done = subprocess.run(
            shlex.split(command), stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, timeout=seconds, check=False
        )
    except OSError as error:  # without the program's name: some put the key itself there
        raise ConfigError(f"key_command cannot be run: {error.strerror}") from None
    except ValueError as error:
        raise ConfigError(f"key_command cannot be run: {error}") from None
    except subprocess.TimeoutExpired:
        raise ConfigError(f"key_command did not end within {seconds:g} seconds") from None
    if done.returncode:
        raise ConfigError(f"key_command failed with exit code {done.returncode}")
    return done.stdout.decode("utf-8", "replace")
