"""The flags of the command line: that each exists, and reaches its setting."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import harvester
from harvester.settings import Settings, flag_of, table

DOCUMENTED = """
    --archive --base-url --key-file --key-command --from --to --status --type --phone-number --assistant-id --campaign-id
    --per-page --requests-per-minute --workers --bandwidth --max-file-size --min-free --no-recordings
    --allow-private-hosts --recording-host --checkpoint --lookback-days --full --limit --dry-run --report-json --json --log-json
    --no-progress --config --account --help -n -q -v -h
"""
"""Those of the design, but for what is to come."""

HEAVY = ("aiohttp", "anyio", "asyncio", "tqdm", "sqlite3", "harvester.demo", "harvester.run")

SELDOM = (
    "anyio.streams.buffered",
    "harvester.evidence.sealing",
    "harvester.platform.swift",
    "pycurl",
    "rfc3161_client",
)
"""What signatures, stamps and porters take, which few runs have."""


class Shell:
    """Runs the command line as a user would, in an empty folder, with an empty home."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.home = {"PATH": os.environ["PATH"], "HOME": str(folder / "home")}

    def run(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run it to its end."""
        return subprocess.run(
            [sys.executable, "-m", "harvester", *arguments],
            env={**self.home, **environment},
            cwd=self.folder,
            capture_output=True,
            text=True,
            check=False,
        )

    def config(self, *arguments: str, **environment: str) -> dict[str, tuple[str, str]]:
        """Return for each setting its value as text and its source, as `harvester config` tells them."""
        done = self.run("config", "--json", *arguments, **environment)
        assert done.returncode == 0, done.stderr
        return {name: (row["value"], row["source"]) for name, row in json.loads(done.stdout).items()}


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    """Return a shell in a folder of the test's own."""
    return Shell(tmp_path)


def test_every_documented_flag_is_one_of_run(shell: Shell) -> None:
    """`harvester run --help` names every flag of the design and every setting's."""
    done = shell.run("run", "--help")
    words = set(done.stdout.replace(",", " ").split())
    assert done.returncode == 0
    assert {*DOCUMENTED.split(), *map(flag_of, table())} <= words
    assert "--api-key" not in words


def test_only_what_is_on_has_a_flag_that_turns_it_off() -> None:
    """A switch's flag says `--no-` exactly where its default is true."""
    for name, (field, _) in table().items():
        assert flag_of(name).startswith("--no-") == (getattr(Settings(), field) is True)


def test_flags_reach_their_settings(shell: Shell) -> None:
    """Each form of a flag: value, switch, counted, given several times, short; underscores are hyphens."""
    found = shell.config(
        *("--per-page", "50", "--no-recordings", "--must-exist", "-vv", "-n", "-q", "--no-progress"),
        *("--status", "ended", "--status", "Voicemail,busy", "--recording-host", "A.example.com"),
        HARVESTER_PER_PAGE="20",
    )
    assert found["per_page"] == ("50", "--per-page")
    assert found["recordings"] == ("false", "--no-recordings")
    assert found["must_exist"] == ("true", "--must-exist")
    assert found["verbose"] == ("2", "--verbose")
    assert found["dry_run"] == ("true", "--dry-run")
    assert found["quiet"] == ("true", "--quiet")
    assert found["progress"] == ("false", "--no-progress")
    assert found["status"] == ("ended, Voicemail, busy", "--status")
    assert found["recording_host"] == ("a.example.com", "--recording-host")
    assert found["workers"] == ("8 at first, up to 60 while more make it faster", "default")


def test_every_setting_reaches_config_from_the_environment(shell: Shell) -> None:
    """Variables are read from the environment of the process, lists between commas, switches as words."""
    found = shell.config(HARVESTER_STATUS="a,b", HARVESTER_RECORDINGS="0", HARVESTER_LIMIT="", HARVESTER_TYPE="web")
    assert found["status"] == ("a, b", "HARVESTER_STATUS")
    assert found["recordings"] == ("false", "HARVESTER_RECORDINGS")
    assert found["limit"] == ("no limit", "default")
    assert found["type"] == ("web", "HARVESTER_TYPE")


def test_the_settings_file_is_found_in_the_folder_or_at_home(shell: Shell) -> None:
    """--config wins over HARVESTER_CONFIG, that over ./harvester.toml, that over the user's configuration folder."""
    usual = shell.folder / "settings" / "harvester"
    usual.mkdir(parents=True)
    places = {"limit": usual / "harvester.toml", "workers": shell.folder / "harvester.toml"}
    places |= {"attempts": shell.folder / "variable.toml", "per_page": shell.folder / "flag.toml"}

    def only(name: str, *arguments: str, **environment: str) -> None:
        places[name].write_text(f"{name} = 7\n")
        found = shell.config(*arguments, XDG_CONFIG_HOME=str(usual.parent), **environment)
        assert [each for each, (_, source) in found.items() if source.endswith(", line 1")] == [name]

    if sys.platform == "linux":
        only("limit")
    only("workers")
    only("attempts", HARVESTER_CONFIG="variable.toml")
    only("per_page", "--config", "flag.toml", HARVESTER_CONFIG="variable.toml")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["config", "--per-page", "500"], "harvester: --per-page: '500' is not a whole number from 1 to 100\n"),
        (["run", "--config", "none.toml"], "harvester: the settings file none.toml cannot be read: No such file"),
        (["run", "--config", "~nobody-of-this-name/x"], "harvester: --config: '~nobody-of-this-name/x' is not a path"),
        (["run", "--api-key", "sk-secret"], "No such option"),
        (["run", "--no-such-flag"], "No such option"),
        (["crawl"], "No such command"),
    ],
)
def test_a_wrong_command_line_ends_with_2(shell: Shell, arguments: list[str], said: str) -> None:
    """Usage and settings: exit code 2, a sentence on stderr, no traceback, nothing on stdout."""
    done = shell.run(*arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert "sk-secret" not in done.stderr


def test_version_and_help_answer(shell: Shell) -> None:
    """`--version` names the version; `--help` and `-h` name every command that there is."""
    assert shell.run("--version").stdout == f"harvester, version {harvester.__version__}\n"
    for flag in ("--help", "-h"):
        done = shell.run(flag)
        assert done.returncode == 0
        assert {"demo", "run", "plan", "status", "verify", "init", "config", "platform"} <= set(done.stdout.split())


def test_help_imports_nothing_heavy() -> None:
    """`harvester --help` answers at once: what only a run needs is imported by the run."""
    source = f"""
import sys
from harvester.cli import cli
cli(["--help"], standalone_mode=False)
print("heavy:", [name for name in {HEAVY} if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "heavy: []"


def test_a_run_begins_with_what_every_run_needs() -> None:
    """What serves signatures, stamps and porters is imported where there are any."""
    source = f"""
import sys
import harvester.cli, harvester.rounds, harvester.run
print("seldom:", [name for name in {SELDOM} if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True, check=True)
    assert done.stdout == "seldom: []\n"


def test_only_the_command_that_is_called_makes_its_flags() -> None:
    """Each command begins at once, however many others there are."""
    source = """
from harvester.cli import cli
cli(["plan", "--help"], standalone_mode=False)
print("made:", [name for name, command in cli.commands.items() if any(flag.name == "config" for flag in command.params)])
"""
    done = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "made: ['plan']"


def test_flags_are_made_once() -> None:
    """However often click asks for them: each stands in the help once."""
    source = """
from harvester.cli import cli
cli(["plan", "--help"], standalone_mode=False)
names = [flag.name for flag in cli.commands["plan"].params]
print("more than once:", [name for name in names if names.count(name) > 1])
"""
    done = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "more than once: []"
