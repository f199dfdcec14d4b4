"""Every setting: from which place it comes, and how a wrong one is refused."""

import datetime as dt
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from harvester.accounts import meant_by
from harvester.errors import ConfigError
from harvester.example import EXAMPLES, toml
from harvester.layers import resolve
from harvester.settings import Resolved, Settings, environment_of, flag_of, table

DEFAULTS = Settings()


def another(name: str) -> str:
    """Return, as text, a value of a setting that is not its default."""
    default = getattr(DEFAULTS, table()[name][0])
    if isinstance(default, bool):
        return str(not default).lower()
    given = {"base_url": "https://other.example.com/api", "retry_wait_seconds": "2.5", "timezone": "Europe/Berlin"}
    return given.get(name) or EXAMPLES.get(name, "2").strip('[]"').replace('", "', ",")


def resolve_text(text: str, tmp_path: Path, environment: Mapping[str, str] = MappingProxyType({})) -> Resolved:
    """Resolve settings with a settings file of this text."""
    file = tmp_path / "harvester.toml"
    file.write_text(text)
    return resolve({}, environment, file)


def refused(environment: Mapping[str, str], file: Path | None) -> str | None:
    """Return what is said about settings that are refused; None when they are not."""
    try:
        resolve({}, environment, file)
    except ConfigError as error:
        return str(error)
    return None


def refusal(text: str, tmp_path: Path) -> str:
    """Return what is said about a settings file that is refused; one sentence in one line."""
    with pytest.raises(ConfigError) as caught:
        resolve_text(text, tmp_path)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("name", table())
def test_flag_wins_over_environment_over_file_over_default(name: str, tmp_path: Path) -> None:
    """Every setting can come from each of the four places, and `sources` tells which."""
    field, setting = table()[name]
    variable, file_text = environment_of(name), f"# a comment\n{name} = {toml(another(name))}\n"
    wanted, default = setting.read(another(name)), getattr(DEFAULTS, field)
    assert wanted != default

    def check(found: Resolved, value: object, source: str) -> None:
        assert (getattr(found.settings, field), found.sources[name]) == (value, source)

    back = ",".join(default) if isinstance(default, tuple) else str(default)
    check(resolve({}, {}, None), default, "default")
    check(resolve_text(file_text, tmp_path), wanted, f"{tmp_path}/harvester.toml, line 2")
    check(resolve({}, {variable: another(name)}, None), wanted, variable)
    check(resolve({name: another(name)}, {}, None), wanted, flag_of(name))
    if default is not None and default != ():
        check(resolve_text(file_text, tmp_path, {variable: back}), default, variable)
        check(resolve({name: back}, {variable: another(name)}, None), default, flag_of(name))


@pytest.mark.parametrize("name", table())
def test_every_setting_is_explained(name: str) -> None:
    """Each has a meaning in one sentence without its full stop; amounts name their unit, and what is decided late, how."""
    field, setting = table()[name]
    assert setting.help == setting.help.strip().rstrip(".")
    assert setting.help[0].islower()
    assert setting.group in ("run", "archive", "evidence", "talk")
    units = ("second", "day", "byte", "calls", "pages", "requests", "attempts", "assistant", "campaign", "1 ")
    if isinstance(getattr(DEFAULTS, field), int | float) or name in ("bandwidth", "max_file_size", "min_free", "limit"):
        assert any(unit in setting.help for unit in units) or isinstance(getattr(DEFAULTS, field), bool)


def test_an_empty_variable_counts_as_unset() -> None:
    """`HARVESTER_STATUS= harvester run` is a way to unset it, for switches too."""
    found = resolve({}, {environment_of(name): "" for name in table()}, None)
    assert found.settings == DEFAULTS
    assert set(found.sources.values()) == {"default"}


@pytest.mark.parametrize("word", ["0", "false", "no", "off"])
def test_a_switch_that_is_on_can_be_turned_off_by_the_environment(word: str) -> None:
    """What is on by default has no other way to be turned off from there."""
    assert resolve({}, {"HARVESTER_RECORDINGS": word}, None).settings.recordings is False


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("per_page = 500", "line 3: '500' is not a whole number from 1 to 100"),
        ("per_page = true", "line 3: true is not a whole number"),
        ("must_exist = 1", "line 3: '1' is not true or false"),
        ("per_pag = 50", "line 3: there is no setting 'per_pag'"),
        ('type = "sideways"', "line 3: 'sideways' is not one of inbound, outbound, web"),
        ('timezone = "Mars/Base"', "line 3: 'Mars/Base' is not the name of a time zone"),
        ('"phone_number" = ""', "line 3: '' is not a text"),
        ("workers = [8]", "line 3: what stands there is not a whole number"),
        ('phone_number = "\\u001b[31m"\nworkers = "\\u001b[31m"', "line 4: '\\x1b[31m' is not a whole number"),
        ("[platform]\nbase_url = 'https://h'", "line 3: 'platform' is a table"),
        ("archive.path = 'x'", "line 3: 'archive' is a table"),
        ("[archive]\napi_key = 'sk-secret'", "line 3: 'archive' is a table"),
        ("[[status]]\nname = 'sk-secret'", "line 3: what stands there is not a list of words"),
        ("api_key = 'sk-secret'", "line 3: the key does not belong here; name its file with key_file"),
        ("base_url = 'https://me:sk-secret/@h/?key=sk-secret'", "line 3: 'https://...@h/?...' is not a URL"),
        ("per_page 50", "is not TOML"),
        ("per_page = 50\nper_page = 60", "is not TOML"),
        ("limit = " + "1" * 5000, "is not TOML"),
        ("limit = " + "[" * 5000, "is not TOML"),
        ("per_page = 0x" + "f" * 5000, "line 3: what stands there is not a whole number"),
        ("workers = '" + "x" * 5000 + "'", "xxx...' is not a whole number"),
    ],
)
def test_a_wrong_line_is_refused_with_its_number(line: str, said: str, tmp_path: Path) -> None:
    """One sentence tells file, line and what is allowed; it is short, and holds no secret."""
    message = refusal(f"# settings\n\n{line}\n", tmp_path)
    assert said in message
    assert str(tmp_path / "harvester.toml") in message
    assert "sk-secret" not in message
    assert len(message) < 300 + len(str(tmp_path))


@pytest.mark.parametrize("key", ["api_key", "key", "token"])
def test_the_key_is_refused_in_the_file_without_being_repeated(key: str, tmp_path: Path) -> None:
    """The settings file is shared and kept in repositories; the key is not."""
    assert "sk-secret" not in refusal(f"{key} = 'sk-secret'\n", tmp_path)


def test_a_wrong_flag_and_a_wrong_variable_are_refused_by_name() -> None:
    """The message begins with what was typed."""
    with pytest.raises(ConfigError, match=r"^--per-page: '500' is not a whole number from 1 to 100$"):
        resolve({"per_page": "500"}, {}, None)
    with pytest.raises(ConfigError, match=r"^HARVESTER_PER_PAGE: 'many' is not a whole number from 1 to 100$"):
        resolve({}, {"HARVESTER_PER_PAGE": "many"}, None)


def test_a_file_that_is_missing_or_no_text_is_refused(tmp_path: Path) -> None:
    """A settings file that was named but cannot be read is an error, never passed over."""
    with pytest.raises(ConfigError, match=r"none\.toml cannot be read: No such file"):
        resolve({}, {}, tmp_path / "none.toml")
    (tmp_path / "latin.toml").write_bytes("archive = 'Gespräche'".encode("latin-1"))
    with pytest.raises(ConfigError, match=r"latin\.toml is not UTF-8 text"):
        resolve({}, {}, tmp_path / "latin.toml")


def test_from_later_than_to_is_refused() -> None:
    """Such a span holds no day; both places are named."""
    with pytest.raises(
        ConfigError, match=r"^--from: from \(2025-08-05\) is later than to \(2025-08-04, HARVESTER_TO\)"
    ):
        resolve({"from": "2025-08-05"}, {"HARVESTER_TO": "2025-08-04"}, None)
    assert resolve({"from": "2025-08-04", "to": "2025-08-04"}, {}, None).settings.date_to


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("from", "1969-12-31", "from (1969-12-31) lies before 1970-01-01; no call is older than that"),
        ("to", "0001-01-01", "to (0001-01-01) lies before 1970-01-01"),
        ("from", "99999d", "lies before 1970-01-01"),
        ("from", "2931-01-01", "from (2931-01-01) lies in the future; today is "),
        ("to", "9999-12-31", "to (9999-12-31) lies in the future"),
    ],
)
def test_a_day_on_which_there_can_be_no_call_is_refused(name: str, value: str, said: str, tmp_path: Path) -> None:
    """Before 1970 or in the future: a slip of the finger, named with its place, wherever it came from."""
    for flags, environment, text, place in (
        ({name: value}, {}, "", f"--{name}"),
        ({}, {f"HARVESTER_{name.upper()}": value}, "", f"HARVESTER_{name.upper()}"),
        ({}, {}, f"{name} = {value if '-' in value else toml(value)}\n", f"{tmp_path}/harvester.toml, line 1"),
    ):
        (tmp_path / "harvester.toml").write_text(text)
        with pytest.raises(ConfigError) as caught:
            resolve(flags, environment, tmp_path / "harvester.toml")
        assert str(caught.value).startswith(f"{place}: {name} (")
        assert said in str(caught.value)


def test_today_and_tomorrow_are_not_the_future() -> None:
    """Where the zone of the platform is ahead of UTC, its today is our tomorrow; the day after is refused."""
    today = dt.datetime.now(dt.UTC).date()
    for ahead in (0, 1):
        day = str(today + dt.timedelta(days=ahead))
        assert str(resolve({"from": day, "to": day}, {}, None).settings.date_to) == day
    assert "lies in the future" in (refused({"HARVESTER_TO": str(today + dt.timedelta(days=3))}, None) or "")
    assert refused({"HARVESTER_FROM": "1970-01-01"}, None) is None


def test_full_and_dates_contradict_each_other() -> None:
    """A full run lists everything; with dates it would not. All places are named."""
    with pytest.raises(
        ConfigError, match=r"^--full: full lists everything: leave out from \(HARVESTER_FROM\) and to \(--to\)$"
    ):
        resolve({"full": True, "to": "2025-08-04"}, {"HARVESTER_FROM": "2025-08-04"}, None)
    with pytest.raises(ConfigError, match=r"^HARVESTER_FULL: full lists everything: leave out to \(--to\)$"):
        resolve({"to": "2025-08-04"}, {"HARVESTER_FULL": "yes"}, None)
    assert resolve({"to": "2025-08-04", "full": False}, {"HARVESTER_FULL": "yes"}, None).settings.date_to


WORDS = (
    "[[account]]",
    "[account]",
    "[account.x]",
    "name = 'a'",
    "archive = 'b'",
    'key_file = """',
    '"""',
    "account = [",
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=st.lists(st.sampled_from(WORDS) | st.text(max_size=5)).map("\n".join))
def test_no_file_with_accounts_ends_in_anything_but_accounts_or_a_refusal(text: str, tmp_path: Path) -> None:
    """Whatever stands where among tables and their pieces, it is read, or refused with the file's name."""
    file = tmp_path / "any.toml"
    file.write_bytes(text.encode())
    try:
        meant_by({}, {}, file)
    except ConfigError as error:
        assert str(file) in str(error)  # noqa: PT017 - that there is none is as good


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    text=st.text()
    | st.lists(st.tuples(st.sampled_from(list(table())), st.text() | st.integers())).map(
        lambda pairs: "\n".join(f"{name} = {toml(value)}" for name, value in pairs)
    )
)
def test_no_settings_file_ends_in_anything_but_settings_or_a_refusal(text: str, tmp_path: Path) -> None:
    """Whatever the file holds, it is read, or refused with a ConfigError."""
    file = tmp_path / "any.toml"
    file.write_bytes(text.encode())
    said = refused({}, file)
    assert said is None or str(file) in said


@settings(max_examples=150, deadline=None)
@given(name=st.sampled_from(list(table())), value=st.text(st.characters()))
def test_no_variable_ends_in_anything_but_a_value_or_a_refusal(name: str, value: str) -> None:
    """Whatever the environment holds, broken encodings included, the message is printable and names the variable."""
    said = refused({environment_of(name): value}, None)
    assert said is None or (said.startswith(environment_of(name)) and said.isprintable())


def test_every_value_can_be_shown() -> None:
    """What has no value is shown as what that means, not as a blank."""
    found = resolve({"status": ("a", "b"), "dry_run": True}, {}, None)
    assert [found.text_of(name) for name in ("status", "dry_run", "bandwidth", "to", "recording_host")] == [
        "a, b",
        "true",
        "no limit",
        "not set",
        "any host",
    ]
