"""Several accounts in one settings file: each for itself, and none in another's way."""

import json
import logging
import os
import re
import signal
import subprocess
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import anyio
import anyio.abc
import pytest

from harvester.accounts import Meant, is_interrupted, meant_by, worst
from harvester.demo.calls import CallBook
from harvester.demo.faults import Fault
from harvester.demo.server import Options, Platform, serve
from harvester.errors import AuthError, ConfigError
from harvester.progress import Progress
from harvester.report import Account
from harvester.rounds import run_each
from harvester.settings import Resolved
from tests.harvests import command

DOCS = Path(__file__).parents[1] / "docs"

TOP = "state_folder = 'state'\nallow_private_hosts = true\nrequests_per_minute = 60000\nretry_wait_seconds = 0\nmin_free = 0\n"


def table(name: str, url: str = "https://platform.example.com/api") -> str:
    """Return the table of an account."""
    return f"[[account]]\nname = '{name}'\nbase_url = '{url}'\narchive = '{name}'\nkey_file = '{name}.key'\n"


class Round:
    """A folder with a settings file of two accounts on two platforms, and the command line in it."""

    def __init__(self, folder: Path, sales: Platform, support: Platform) -> None:
        self.folder = folder
        self.platforms = {"sales": sales, "support": support}
        for name, platform in self.platforms.items():
            self.write_key(name, platform.key)
        self.write(TOP + self.table("sales") + self.table("support"))

    def table(self, name: str) -> str:
        """Return the table of an account."""
        url = self.platforms[name].base_url
        return f"[[account]]\nname = '{name}'\nbase_url = '{url}'\narchive = '{name}'\nkey_file = '{name}.key'\n"

    def write(self, text: str) -> None:
        """Write the settings file."""
        (self.folder / "harvester.toml").write_text(text)

    def write_key(self, name: str, key: str) -> None:
        """Write the file with the key of an account."""
        path = self.folder / f"{name}.key"
        path.write_text(key)
        path.chmod(0o600)

    def calls(self, name: str) -> int:
        """Return how many calls are in the archive of an account."""
        return len({path.name.partition(".")[0] for path in (self.folder / name).glob("2*/*/*/*.json")})

    def log(self, name: str) -> str:
        """Return the log that is kept for an account."""
        (path,) = (self.folder / "state").glob(f"{name}-*/harvester.log")
        return path.read_text()

    def files(self) -> set[str]:
        """Return the names of all that lies in the folder."""
        return {path.relative_to(self.folder).as_posix() for path in self.folder.rglob("*")}

    async def cli(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[bytes]:
        """Run the command line to its end."""
        return await anyio.run_process(
            command(*arguments), check=False, env=self._environment(environment), cwd=self.folder
        )

    async def start(self, *arguments: str) -> anyio.abc.Process:
        """Start the command line and leave it running."""
        return await anyio.open_process(command(*arguments), env=self._environment({}), cwd=self.folder)

    def _environment(self, more: dict[str, str]) -> dict[str, str]:
        return {"PATH": os.environ["PATH"], "HOME": str(self.folder), "HARVESTER_API_KEY": "of-nobody", **more}


@pytest.fixture
async def both(platform: Platform, tmp_path: Path) -> AsyncIterator[Round]:
    """Serve a second platform, with 20 calls, beside the first with its 65."""
    async with serve(CallBook(count=20, most_seconds=20, seed=2), key="key-of-support") as support:
        yield Round(tmp_path, platform, support)


@pytest.fixture
def _log_as_before() -> Iterator[None]:
    """Leave the log as it was before a run in this process."""
    root = logging.getLogger("harvester")
    handlers, level, propagate = list(root.handlers), root.level, root.propagate
    yield
    for handler in set(root.handlers) - set(handlers):
        handler.close()
    root.handlers[:], root.propagate = handlers, propagate
    root.setLevel(level)


def told(done: subprocess.CompletedProcess[bytes]) -> Any:
    """Return the JSON that a command has printed."""
    return json.loads(done.stdout)


def said(done: subprocess.CompletedProcess[bytes]) -> str:
    """Return what a command has said on standard error."""
    return done.stderr.decode()


@pytest.mark.calm
async def test_each_account_has_its_own_archive_and_key(both: Round) -> None:
    """A run goes through all accounts in the order of the file; one variable is the key of none of them."""
    done = await both.cli("run")
    assert done.returncode == 0
    assert (both.calls("sales"), both.calls("support")) == (65, 20)
    lines = said(done).splitlines()
    assert [line for line in lines if line.startswith("== ")] == [
        "== sales: sales",
        "== support: support",
        "== 2 accounts",
    ]
    assert [line.split() for line in lines[-3:-1]] == [["sales", "complete", "0"], ["support", "complete", "0"]]


async def test_one_that_fails_does_not_stop_the_next(both: Round) -> None:
    """The first account's key is refused: the second is archived all the same, and the exit code is the worst, 4."""
    both.write_key("sales", "revoked")
    done = await both.cli("run", "--report-json", "report.json", "--json")
    report = json.loads((both.folder / "report.json").read_bytes())
    assert (done.returncode, report, report["exit_code"]) == (4, told(done), 4)
    assert [(each["name"], each["verdict"], each["exit_code"]) for each in report["accounts"]] == [
        ("sales", "incomplete", 4),
        ("support", "complete", 0),
    ]
    assert "refuses the API key" in report["accounts"][0]["error"]
    assert report["accounts"][1]["listed"] == 20
    assert "harvester: sales: " in said(done)
    assert both.calls("support") == 20
    assert not (both.folder / "sales").exists()


async def test_each_account_has_its_own_log(both: Round) -> None:
    """What goes wrong with one account stands in its log, and not in that of another."""
    for name, platform in both.platforms.items():
        platform.faults.add(Fault(where="recording", kind="status", code=404, times=1))
        both.write_key(name, platform.key)
    await both.cli("run")
    both.write_key("support", "revoked")
    await both.cli("run", "-q")
    assert "incomplete" in both.log("sales")
    assert "incomplete" in both.log("support")
    assert "refuses the API key" in both.log("support")
    assert "refuses the API key" not in both.log("sales")


@pytest.mark.calm
async def test_a_quiet_round_tells_what_is_wrong_and_with_whom(both: Round) -> None:
    """-q: nothing when all is well; else the account, its trouble, and the table."""
    assert said(await both.cli("run", "-q")) == ""
    platform = both.platforms["support"]
    bad = next(i for i in platform.book.ids() if platform.book.row(i)["recording_url"])
    platform.book.change(bad, recording_url="http://127.0.0.1:9/gone.mp3")
    done = await both.cli("run", "-q", "--full", HARVESTER_ATTEMPTS="1")
    lines = said(done).splitlines()
    assert done.returncode == 3
    assert lines[0] == "== support: support"
    assert lines[1].startswith(f"failed: call '{bad}': ")
    assert "== sales: sales" not in lines


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_after_a_signal_no_other_account_is_begun(tmp_path: Path, number: signal.Signals) -> None:
    """The account at work is closed, the next is not asked for anything, and the report says so of both."""
    slow = Options(latency_seconds=0.02)
    async with serve(CallBook(count=300, most_seconds=20), options=slow) as sales, serve(CallBook(count=1)) as support:
        both = Round(tmp_path, sales, support)
        process = await both.start("run", "--report-json", "report.json")
        while sales.count("recording") < 6:  # noqa: ASYNC110 - the platform has no event for it
            await anyio.sleep(0.005)
        process.send_signal(number)
        assert await process.wait() == 128 + number
        assert process.stderr is not None
        last = b"".join([part async for part in process.stderr]).decode().splitlines()[-3:]
        await process.aclose()
    assert [line.split()[:3] for line in last] == [
        ["sales", "interrupted", str(128 + number)],
        ["support", "interrupted", str(128 + number)],
        ["exit", "code", f"{128 + number},"],
    ]
    assert "not begun" in last[1]
    report = json.loads((both.folder / "report.json").read_bytes())
    assert not support.requests
    assert [(each["verdict"], each["exit_code"], bool(each["run"])) for each in report["accounts"]] == [
        ("interrupted", 128 + number, True),
        ("interrupted", 128 + number, False),
    ]
    assert report["accounts"][1]["error"].startswith("not begun")
    assert report["exit_code"] == 128 + number


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
async def test_a_signal_before_an_account_has_begun_loses_no_report(both: Round, number: signal.Signals) -> None:
    """While the second account's platform does not answer, a signal ends the round: the first one's account is delivered."""
    both.platforms["support"].faults.add(Fault(where="me", kind="hang"))
    process = await both.start("run", "--report-json", "report.json")
    while not both.platforms["support"].requests:  # noqa: ASYNC110
        await anyio.sleep(0.005)
    process.send_signal(number)
    assert await process.wait() == 128 + number
    await process.aclose()
    report = json.loads((both.folder / "report.json").read_bytes())
    assert [(each["verdict"], each["exit_code"]) for each in report["accounts"]] == [
        ("complete", 0),
        ("interrupted", 128 + number),
    ]
    assert not (both.folder / "support").exists()


SHARED = "[[account]]\nname = 'other'\narchive = '{archive}'\nkey_command = 'echo key'\n"


@pytest.mark.parametrize(
    ("more", "refusal"),
    [
        (SHARED.format(archive="sales"), "line 18: the accounts sales and other share the archive sales"),
        (SHARED.format(archive="./support/../sales/"), "share the archive"),
        (SHARED.format(archive="link"), "share the archive"),
        (SHARED.format(archive="sales/old"), "line 18: the accounts sales and other: the archive sales/old lies in"),
        (SHARED.format(archive="."), "the archive sales lies in the other's, ."),
        (SHARED.format(archive="new") + "checkpoint = 'state/x'\n[[account]]\nname = 'third'\narchive = 'third'\n"
         "key_command = 'echo key'\ncheckpoint = 'state/./x'\n", "line 25: the accounts other and third share the checkpoint"),
        (SHARED.format(archive="new").replace("other", "SALES"), "line 17: the account of line 6 is called sales already"),
        ("[[account]]\nname = 'other'\nkey_file = 'x'\n", "line 16: the account other has no archive"),
        ("[[account]]\nname = 'other'\narchive = 'new'\n", "line 16: the account other has no key of its own"),
        ("[[account]]\n", "line 16: this [[account]] is empty"),
        ("[[account]]\narchive = 'new'\n", "line 16: this [[account]] has no name"),
        ("[[account]]\nname = 'a b'\n", "line 17: what stands there is not a short word"),
        ("[[account]]\nname = 7\n", "line 17: what stands there is not a short word"),
        ("per_pag = 50\n", "line 16: there is no setting 'per_pag'"),
        ("api_key = 'sk-secret'\n", "line 16: the key does not belong here"),
        ("per_page = 500\n", "line 16: '500' is not a whole number from 1 to 100"),
        ("quiet = true\n", "line 16: quiet is one for all accounts; write it above the first [[account]]"),
        ("report_json = 'r'\n", "line 16: report_json is one for all accounts"),
        ("[account.filters]\ntype = 'web'\n", "line 16: 'filters' is a table"),
        ("from = 2031-01-01\n", "line 16: from (2031-01-01) lies in the future"),
    ],
)  # fmt: skip
def test_what_does_not_go_together_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, more: str, refusal: str
) -> None:
    """Accounts in each other's way, and tables that mean nothing: one sentence with file and line, and no secret."""
    monkeypatch.chdir(tmp_path)
    Path("harvester.toml").write_text(TOP + table("sales") + table("support") + more)
    Path("link").symlink_to("sales")
    with pytest.raises(ConfigError) as caught:
        meant_by({}, {}, Path("harvester.toml"))
    assert refusal in str(caught.value)
    assert str(caught.value).startswith("harvester.toml, line")
    assert "sk-secret" not in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["run", "plan", "status"])
async def test_accounts_that_share_an_archive_end_before_anything_is_written(both: Round, name: str) -> None:
    """Exit 2, a sentence, no request, nothing written."""
    both.write((both.folder / "harvester.toml").read_text().replace("'support'\nkey", "'./sales'\nkey"))
    before = both.files()
    done = await both.cli(name)
    assert (done.returncode, done.stdout, both.files()) == (2, b"", before)
    assert "line 14: the accounts sales and support share the archive sales; give each its own" in said(done)
    assert not any(platform.requests for platform in both.platforms.values())


@pytest.mark.parametrize(
    ("text", "refusal"),
    [
        ("archive = 'a'\n[[account]]\nname = 'x'\n", "line 1: each account needs its own archive"),
        ("\nkey_file = 'a'\n[[account]]\nname = 'x'\n", "line 2: each account needs its own key_file"),
        ("[account]\nname = 'x'\n", "line 1: each account begins with a line [[account]]"),
        ("account = []\n", "line 1: each account begins with a line [[account]]"),
        ("workers = 2\naccount = 'x'\n", "line 2: each account begins with a line [[account]]"),
        ("account = ['x']\n", "line 1: each account begins with a line [[account]]"),
        ("name = 'x'\n", "line 1: there is no setting 'name'"),
    ],
)
def test_a_file_that_is_not_of_this_form_is_refused(text: str, refusal: str, tmp_path: Path) -> None:
    """What every account needs for itself stands in no place that is everybody's; and accounts are tables in a list."""
    (tmp_path / "h.toml").write_text(text)
    with pytest.raises(ConfigError) as caught:
        meant_by({}, {}, tmp_path / "h.toml")
    assert refusal in str(caught.value)


FILE = """\
per_page = 10
workers = 3
status = ["a", "b"]
key_command = '''
[[account]]
name = "none"
'''
"""

TABLES = """\
per_page = 10
workers = 3
[[ "account" ]] # a comment
name = "sales"
archive = "a"
key_command = '''
[[account]]
name = "none"
'''
workers = 4
status = [
  "a",
  "b",
]
"att\\u0065mpts" = 2
[[account]]
name = "support"
archive = "b"
key_file = "k"
"""


def meant(
    tmp_path: Path, flags: dict[str, object] | None = None, environment: dict[str, str] | None = None, *chosen: str
) -> Meant:
    """Return which accounts of TABLES are meant."""
    (tmp_path / "h.toml").write_text(TABLES)
    return meant_by(flags or {}, environment or {}, tmp_path / "h.toml", chosen)


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_flag_wins_over_environment_over_table_over_file_over_default(newline: str, tmp_path: Path) -> None:
    """Each account has its own layer, and the lines are those of the right table."""
    file = tmp_path / "h.toml"
    file.write_bytes(TABLES.replace("\n", newline).encode())

    def found(name: str, flags: dict[str, object], environment: dict[str, str]) -> list[tuple[object, str]]:
        accounts = meant_by(flags, environment, file).accounts
        return [
            (getattr(each.settings, name), each.sources[name].removeprefix(f"{tmp_path}/h.toml, ")) for each in accounts
        ]

    assert found("workers", {"workers": "6"}, {"HARVESTER_WORKERS": "5"}) == [(6, "--workers")] * 2
    assert found("workers", {}, {"HARVESTER_WORKERS": "5"}) == [(5, "HARVESTER_WORKERS")] * 2
    assert found("workers", {}, {}) == [(4, "line 10"), (3, "line 2")]
    assert found("per_page", {}, {}) == [(10, "line 1")] * 2
    assert found("attempts", {}, {}) == [(2, "line 15"), (5, "default")]
    assert found("status", {}, {}) == [(("a", "b"), "line 11"), ((), "default")]
    assert found("archive", {}, {}) == [(Path("a"), "line 5"), (Path("b"), "line 18")]


def test_a_file_without_accounts_is_one_without_a_name(tmp_path: Path) -> None:
    """Nothing changes for who has one account, whatever stands in a string over several lines."""
    (tmp_path / "h.toml").write_text(FILE)
    found = meant_by({}, {}, tmp_path / "h.toml")
    assert (found.several, [each.account for each in found.accounts]) == (False, [None])
    assert found.first.sources["key_command"] == f"{tmp_path}/h.toml, line 4"


def test_accounts_are_chosen_by_name(tmp_path: Path) -> None:
    """--account wins over HARVESTER_ACCOUNT; names have no case; the order is the file's; the form stays that of several."""

    def names(*chosen: str, variable: str = "") -> list[str | None]:
        found = meant(tmp_path, {}, {"HARVESTER_ACCOUNT": variable}, *chosen)
        assert found.several
        return [each.account for each in found.accounts]

    assert names() == ["sales", "support"]
    assert names("support", "sales", "support") == ["sales", "support"]
    assert names("Support") == ["support"]
    assert names(variable="support, sales") == ["sales", "support"]
    assert names("sales", variable="support") == ["sales"]
    with pytest.raises(ConfigError, match=r"^--account: there is no account 'web' in .*; it has sales, support$"):
        names("web")
    with pytest.raises(ConfigError, match=r"^HARVESTER_ACCOUNT: there is no account 'web'"):
        names(variable="web")
    with pytest.raises(ConfigError, match=r"^--account: there is no settings file"):
        meant_by({}, {}, None, ("web",))


@pytest.mark.parametrize("name", ["archive", "key_file", "key_command", "checkpoint"])
def test_what_is_one_accounts_own_is_not_given_to_all(name: str, tmp_path: Path) -> None:
    """A flag or a variable that would be the archive or key of each account is refused, but for one that was chosen."""
    flag = f"--{name.replace('_', '-')}"
    with pytest.raises(ConfigError, match=f"^{flag}: it would be the {name} of 2 accounts"):
        meant(tmp_path, {name: "x"})
    with pytest.raises(ConfigError, match=f"^HARVESTER_{name.upper()}: it would be the {name} of 2 accounts"):
        meant(tmp_path, {}, {f"HARVESTER_{name.upper()}": "x"})
    assert meant(tmp_path, {name: "x"}, {}, "sales").first.sources[name] == flag
    if name == "archive":
        with pytest.raises(ConfigError, match="share the archive"):
            meant(tmp_path, {name: "b"}, {}, "sales")


async def test_status_verify_and_config_go_through_all_accounts(both: Round) -> None:
    """Each tells of every account below its name, as JSON in one list; one without an archive yet ends with 6."""
    await both.cli("run", "-q", "--account", "sales")
    for name, of_sales in (("status", "65 calls"), ("verify", "intact: "), ("config", "sales.key")):
        done = await both.cli(name)
        assert (done.returncode == 0) == (name == "config")
        head, *text = done.stdout.decode().splitlines()
        assert head == "== sales: sales"
        assert of_sales in "\n".join(text)
        assert ("== support: support" in text) == (name == "config")
        as_json = told(await both.cli(name, "--json"))
        assert [each["name"] for each in as_json["accounts"]] == ["sales", "support"]
        assert as_json["exit_code"] == done.returncode
    assert [each["exit_code"] for each in told(await both.cli("verify", "--json"))["accounts"]] == [0, 6]


async def test_the_form_of_json_depends_on_the_file_alone(both: Round) -> None:
    """One account chosen among several is a list of one; a file without tables gives the account itself."""
    done = await both.cli("run", "--json", "-q", "--account", "support")
    assert [each["name"] for each in told(done)["accounts"]] == ["support"]
    both.write(TOP + both.table("support").partition("\n")[2].partition("\n")[2].replace("'support'", "'alone'"))
    done = await both.cli("run", "--json", "-q", HARVESTER_API_KEY="")
    assert told(done)["archive"] == "alone"
    assert "accounts" not in told(done)


async def test_init_is_for_one_account(both: Round) -> None:
    """`init` writes a settings file of its own, and refuses one that has accounts: exit 2, nothing written."""
    before = both.files()
    done = await both.cli("init", "--write", "mine.toml")
    assert (done.returncode, both.files()) == (2, before)
    assert "harvester.toml, line 6: `init` makes the archive of one account" in said(done)


async def test_a_report_that_lies_in_any_archive_is_refused_first(both: Round) -> None:
    """It would lie among what is archived, whichever account's that is."""
    (both.folder / "support").mkdir()
    done = await both.cli("run", "--report-json", "support/report.json")
    assert (done.returncode, len(both.platforms["sales"].requests)) == (2, 0)
    assert "--report-json" in said(done)


async def test_a_reader_that_goes_away_stops_no_account(both: Round) -> None:
    """When the screen is closed during the first account, the second is archived all the same."""
    line = f"{' '.join(command('run'))} 2>&1 | head -n 1; echo ${{PIPESTATUS[0]}}"
    environment = {"PATH": os.environ["PATH"], "HOME": str(both.folder)}
    done = await anyio.run_process(["bash", "-c", line], env=environment, cwd=both.folder)
    assert done.stdout.decode().splitlines() == ["== sales: sales", "0"]
    assert (both.calls("sales"), both.calls("support")) == (65, 20)


@pytest.mark.usefixtures("_log_as_before")
def test_a_bug_in_one_account_does_not_stop_the_next(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """An error that nobody foresaw ends its account with 1, with the traceback in that account's log."""
    begun = []

    async def harvest(resolved: Resolved, key: str, progress: Progress, standby: object) -> Account:
        begun.append((resolved.account, key))
        if resolved.account == "sales":
            raise ZeroDivisionError("never thought of")
        raise AuthError("the key is refused")

    (tmp_path / "k").write_text("of-support")
    flags = {"state_folder": str(tmp_path), "report_json": str(tmp_path / "r.json")}
    text = TABLES.replace('"k"', f'"{tmp_path}/k"').replace('[[account]]\nname = "none"', "echo of-sales")
    (tmp_path / "h.toml").write_text(text)
    assert run_each(meant_by(flags, {}, tmp_path / "h.toml"), harvest) == 1
    report = json.loads((tmp_path / "r.json").read_bytes())
    assert [each["exit_code"] for each in report["accounts"]] == [1, 4]
    assert report["accounts"][0]["error"] == "unexpected error, a bug: ZeroDivisionError"
    assert [name for name, _ in begun] == ["sales", "support"]
    (log,) = tmp_path.glob("a-*/harvester.log")
    assert "ZeroDivisionError: never thought of" in log.read_text()
    assert "never thought of" not in capsys.readouterr().err.partition("== support")[2]


@pytest.mark.parametrize(
    ("codes", "code"),
    [
        ((), 0),
        ((0, 0), 0),
        ((0, 3), 3),
        ((3, 7), 7),
        ((7, 5), 5),
        ((5, 2), 2),
        ((2, 4), 4),
        ((4, 6), 6),
        ((6, 8), 8),
        ((8, 1), 1),
        ((1, 130), 130),
        ((143, 1, 8), 143),
    ],
)
def test_the_exit_code_is_the_worst(codes: tuple[int, ...], code: int) -> None:
    """The worst by what it asks of somebody, not by its number; docs/exit-codes.md has the same order."""
    assert worst(codes) == worst(reversed(codes)) == code


def test_the_order_of_the_codes_is_documented() -> None:
    """docs/exit-codes.md names every code, from the worst to the mildest, as `worst` has them."""
    section = (DOCS / "exit-codes.md").read_text().partition("## Several accounts")[2].partition("\n## ")[0]
    rows = [row.split("|")[1] for row in section.splitlines() if re.match(r"\| \d", row)]
    codes = [int(code) for row in rows for code in re.findall(r"\d+", row)]
    assert {0, 1, 2, 3, 4, 5, 6, 7, 8, 129, 130, 143} == set(codes)
    named = [code for code in codes if not is_interrupted(code)]
    assert named == sorted(named, key=lambda code: [worst((code, other)) for other in named].count(code), reverse=True)


def test_the_accounts_that_are_documented_are_accounts(tmp_path: Path) -> None:
    """The settings file of docs/operations.md is read as it stands."""
    (example,) = re.findall(r"^```toml\n(.*?)^```", (DOCS / "operations.md").read_text(), re.MULTILINE | re.DOTALL)
    (tmp_path / "h.toml").write_text(example)
    found = meant_by({}, {}, tmp_path / "h.toml").accounts
    assert [(each.account, each.settings.type, each.settings.requests_per_minute) for each in found] == [
        ("sales", "outbound", None),
        ("support", None, 30),
    ]
