"""Where the API key comes from, and that it stays there."""

import shlex
import sys
from pathlib import Path

import pytest

from harvester.accounts import meant_by
from harvester.errors import ConfigError
from harvester.key import key_of, read_key
from harvester.layers import resolve
from harvester.settings import Settings

SECRET = "sk-Secret_0123"


def key_file(folder: Path, content: bytes, mode: int = 0o600, name: str = "key") -> Path:
    """Write a key file."""
    path = folder / name
    path.write_bytes(content)
    path.chmod(mode)
    return path


def printing(text: str) -> str:
    """Return a command that prints this text."""
    return f"{shlex.quote(sys.executable)} -c {shlex.quote(f'print({text!r})')}"


def refusal(settings: Settings, environment: dict[str, str], seconds: float = 60) -> str:
    """Return what is said when no key can be had; never the key, always one line."""
    with pytest.raises(ConfigError) as caught:
        read_key(settings, environment, command_seconds=seconds)
    assert "Secret" not in str(caught.value)
    assert str(caught.value).isprintable()
    return str(caught.value)


def test_the_first_source_that_is_given_wins(tmp_path: Path) -> None:
    """Environment before file before command before systemd's credential; an empty variable is none."""
    key_file(tmp_path, b"of-systemd", name="harvester-api-key")
    file, command = key_file(tmp_path, b"of-the-file\n"), printing("of-the-command")
    systemd = {"CREDENTIALS_DIRECTORY": str(tmp_path)}
    all_of_them = {"HARVESTER_API_KEY": "of-the-environment", **systemd}
    assert read_key(Settings(key_file=file, key_command=command), all_of_them)[0] == "of-the-environment"
    assert read_key(Settings(key_file=file, key_command=command), {**systemd, "HARVESTER_API_KEY": ""}) == (
        "of-the-file",
        None,
    )
    assert read_key(Settings(key_command=command), systemd) == ("of-the-command", None)
    assert read_key(Settings(), systemd) == ("of-systemd", None)


def test_no_source_at_all_is_refused(tmp_path: Path) -> None:
    """The message names the two usual ways; a folder of credentials without ours is no source."""
    for environment in ({}, {"CREDENTIALS_DIRECTORY": str(tmp_path)}):
        assert "HARVESTER_API_KEY" in refusal(Settings(), environment)
        assert "--key-file" in refusal(Settings(), environment)


@pytest.mark.parametrize(("mode", "warned"), [(0o600, False), (0o400, False), (0o640, True), (0o644, True)])
def test_a_file_that_others_can_read_is_warned_about(mode: int, warned: bool, tmp_path: Path) -> None:
    """The key is used all the same; the warning says how to close the file, and not what is in it."""
    path = key_file(tmp_path, SECRET.encode(), mode, name="the key")
    key, warning = read_key(Settings(key_file=path), {})
    assert key == SECRET
    assert bool(warning) is warned
    if warning:
        assert f"chmod 600 {shlex.quote(str(path))}" in warning
        assert SECRET not in warning


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "it is empty"),
        (b" \n", "it is empty"),
        (b"sk-Secret\nsk-Secret2\n", "spaces, line breaks or odd characters"),
        (b"Bearer sk-Secret", "spaces"),
        ("sk-Secret-\u00e9".encode(), "odd characters"),
        (b"\xef\xbb\xbfsk-Secret", "odd characters"),
        (b"sk-Secret\x00", "odd characters"),
        (b"sk-Secret\xff", "is not text"),
    ],
)
def test_what_cannot_be_a_key_is_refused(content: bytes, said: str, tmp_path: Path) -> None:
    """A key is one printable ASCII word: it becomes a header."""
    path = key_file(tmp_path, content)
    message = refusal(Settings(key_file=path), {})
    assert said in message
    assert str(path) in message


def test_a_variable_that_cannot_be_a_key_is_refused() -> None:
    """The same rule holds for the environment, a broken encoding included."""
    for value in ("  ", "sk Secret", "sk-Secret\n2", "sk-Secret\udcff"):
        assert refusal(Settings(), {"HARVESTER_API_KEY": value}).startswith("HARVESTER_API_KEY holds no API key")


def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    """A missing file and a folder are told with their path and the system's reason."""
    assert "No such file" in refusal(Settings(key_file=tmp_path / "none"), {})
    assert "directory" in refusal(Settings(key_file=tmp_path), {})


def test_a_command_runs_without_a_shell() -> None:
    """What a shell would replace reaches the command as it was written."""
    echo = f"{shlex.quote(sys.executable)} -c 'import sys; print(sys.argv[1])' $HOME;true"
    assert read_key(Settings(key_command=echo), {})[0] == "$HOME;true"


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (f"{shlex.quote(sys.executable)} -c 'print(\"sk-Secret\"); raise SystemExit(3)'", "exit code 3"),
        ("sk-Secret", "cannot be run: No such file"),
        ("pass 'sk-Secret", "cannot be run: No closing quotation"),
        (printing(""), "key_command holds no API key: it is empty"),
        (printing("sk-Secret two"), "key_command holds no API key: there are spaces"),
        (printing("sk-Secret\ufffd"), "key_command holds no API key: there are spaces"),
    ],
)
def test_a_command_that_gives_no_key_is_refused(command: str, said: str) -> None:
    """It failed, is none, or printed what cannot be a key; even a key written in its place is not repeated."""
    assert said in refusal(Settings(key_command=command), {})


def test_a_command_that_does_not_end_is_stopped() -> None:
    """A password manager that waits for somebody must not hold up a nightly run."""
    waits = f"{shlex.quote(sys.executable)} -c 'import signal; signal.pause()'"
    assert "did not end within 0.05 seconds" in refusal(Settings(key_command=waits), {}, seconds=0.05)


def test_what_is_nearer_to_the_user_wins(tmp_path: Path) -> None:
    """A flag wins over the variable, and a command over a file that was named farther away; else the file comes first."""
    file, command = str(key_file(tmp_path, b"of-the-file")), printing("of-the-command")
    (tmp_path / "h.toml").write_text(f"key_file = '{file}'\n")
    key = {"HARVESTER_API_KEY": "of-the-environment"}

    def found(flags: dict[str, str], environment: dict[str, str]) -> str:
        return key_of(resolve(flags, environment, tmp_path / "h.toml"), environment)[0]

    assert found({}, key) == "of-the-environment"
    assert found({}, {}) == "of-the-file"
    assert found({"key_file": file}, key) == "of-the-file"
    assert found({"key_command": command}, key) == "of-the-command"
    assert found({}, {"HARVESTER_KEY_COMMAND": command}) == "of-the-command"
    assert found({}, {"HARVESTER_KEY_COMMAND": command, "HARVESTER_KEY_FILE": file}) == "of-the-file"


def test_an_account_has_the_key_of_its_own_settings(tmp_path: Path) -> None:
    """Neither a variable nor systemd's credential is the key of one among several; a flag is, when it alone is meant."""
    key_file(tmp_path, b"of-systemd", name="harvester-api-key")
    one, other = key_file(tmp_path, b"of-one", name="one"), printing("of-other")
    (tmp_path / "h.toml").write_text(
        f"[[account]]\nname = 'one'\narchive = 'a'\nkey_file = '{one}'\n"
        f'[[account]]\nname = \'other\'\narchive = \'b\'\nkey_command = """{other}"""\n'
    )
    environment = {"HARVESTER_API_KEY": "of-the-environment", "CREDENTIALS_DIRECTORY": str(tmp_path)}

    def found(flags: dict[str, str], *chosen: str) -> list[str]:
        meant = meant_by(flags, environment, tmp_path / "h.toml", chosen)
        return [key_of(each, environment)[0] for each in meant.accounts]

    assert found({}) == ["of-one", "of-other"]
    assert found({"key_file": str(one)}, "other") == ["of-one"]
    assert found({"key_command": printing("of-a-flag")}, "one") == ["of-a-flag"]
