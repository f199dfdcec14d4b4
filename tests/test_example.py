"""The settings file as it is written."""

import datetime as dt
import tomllib
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from harvester.accounts import meant_by
from harvester.example import settings_file, toml
from harvester.layers import resolve
from harvester.settings import Settings, environment_of, flag_of, table
from harvester.written import OF_THE_COMMAND, OWN

EXAMPLE = Path(__file__).parents[1] / "config.example.toml"

CHOSEN = st.fixed_dictionaries(
    {},
    optional={
        "archive": st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1).map(lambda s: f"/{s}x"),
        "phone_number": st.text(st.characters(codec="utf-8")).map(lambda text: f"+{text}1"),
        "status": st.lists(st.from_regex(r"[a-zA-Z_\"\\-]+", fullmatch=True), min_size=1, unique=True).map(tuple),
        "retry_wait_seconds": st.floats(0, 3600),
        "recordings": st.booleans(),
        "per_page": st.integers(1, 100),
        "from": st.dates(dt.date(1970, 1, 1), dt.datetime.now(dt.UTC).date()),
        "timezone": st.sampled_from(["UTC", "Europe/Berlin"]),
    },
)


def uncommented(text: str) -> str:
    """Return a settings file in which every setting that stands as a comment is set."""
    names = tuple(f"# {name} = " for name in (*table(), "name"))
    return "\n".join(line[2:] if line.startswith((*names, "# [[account]]")) else line for line in text.splitlines())


def in_two(text: str) -> tuple[str, str]:
    """Return the settings of the example, and its accounts."""
    settings, several, accounts = text.partition("# Several accounts")
    return settings, several + accounts


def test_the_example_is_what_the_code_says() -> None:
    """config.example.toml lists every setting as the code knows it, all as comments."""
    assert EXAMPLE.read_text() == settings_file({})
    assert tomllib.loads(EXAMPLE.read_text()) == {}


def test_every_value_of_the_example_is_one(tmp_path: Path) -> None:
    """With all comments of settings taken away the file is TOML, holds every setting, and each passes its reader."""
    text = uncommented(in_two(EXAMPLE.read_text())[0])
    assert list(tomllib.loads(text)) == list(table())
    (tmp_path / "all.toml").write_text(text)
    found = resolve({}, {}, tmp_path / "all.toml")
    assert "default" not in found.sources.values()
    for name, (field, _) in table().items():
        if (default := getattr(Settings(), field)) not in (None, ()):
            assert getattr(found.settings, field) == default, name


def test_the_accounts_of_the_example_are_accounts(tmp_path: Path) -> None:
    """With the comments of its tables taken away, the example has two accounts, each with what it needs."""
    settings, accounts = in_two(EXAMPLE.read_text())
    (tmp_path / "accounts.toml").write_text(settings + uncommented(accounts))
    found = meant_by({}, {}, tmp_path / "accounts.toml")
    assert [(each.account, str(each.settings.archive)) for each in found.accounts] == [
        ("sales", "/srv/calls/sales"),
        ("support", "/srv/calls/support"),
    ]
    (about,) = (paragraph for paragraph in accounts.split("\n\n") if "Several" in paragraph)
    assert all(name in about for name in (*OWN, *OF_THE_COMMAND))
    talk = [name for name, (_, setting) in table().items() if setting.group == "talk"]
    assert list(table())[-len(talk) :] == talk
    assert f"all from {talk[0]} on" in about.replace("\n# ", " ")


@pytest.mark.parametrize("name", table())
def test_every_setting_has_a_line_with_meaning_flag_and_default(name: str) -> None:
    """The line above a setting explains it."""
    lines = EXAMPLE.read_text().splitlines()
    above = lines[next(n for n, line in enumerate(lines) if line.startswith(f"# {name} = ")) - 1]
    assert above.startswith(f"# {table()[name][1].help} (flag {flag_of(name)}; default: ")
    assert environment_of(name) == f"HARVESTER_{name.upper()}"


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(chosen=CHOSEN)
def test_what_is_written_is_read_back(chosen: dict[str, object], tmp_path: Path) -> None:
    """Settings written into a file resolve to the same settings again, and only these are set."""
    file = tmp_path / "written.toml"
    file.write_bytes(settings_file(chosen).encode())
    found = resolve({}, {}, file)
    assert {name for name, source in found.sources.items() if source != "default"} == set(chosen)
    for name, value in chosen.items():
        assert getattr(found.settings, table()[name][0]) == table()[name][1].read(value)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (True, "true"),
        (3.0, "3"),
        (0.1, "0.1"),
        (("a", 'b"'), '["a", "b\\""]'),
        ("\x7f\x1b\n", '"\\u007f\\u001b\\n"'),
        ("Gespräche 📞", '"Gespräche 📞"'),
        (Path("/srv/calls"), '"/srv/calls"'),
        (dt.date(2025, 8, 4), '"2025-08-04"'),
    ],
)
def test_a_value_is_written_as_toml(value: object, text: str) -> None:
    """Every kind of value has its form, and TOML reads it back."""
    assert toml(value) == text
    assert tomllib.loads(f"x = {text}")
