"""What a setting's value may look like, wherever it comes from."""

import datetime as dt
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harvester import values
from harvester.settings import table

READERS = {name: setting.read for name, (_, setting) in table().items()}

ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters()) | st.dates() | st.datetimes(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=2),
    max_leaves=4,
)
LIKELY = st.from_regex(r"-?[0-9]{1,25}(\.[0-9]+)?[kKmMgGtTdDbB]?|~[a-z]+/x|https?://[a-z@:?#\[\]0-9./-]{0,20}|[a-z, ]+")


@settings(max_examples=300, deadline=None)
@given(name=st.sampled_from(list(READERS)), value=ANYTHING | LIKELY)
def test_a_reader_gives_a_value_or_says_what_is_allowed(name: str, value: object) -> None:
    """Whatever stands there, reading it ends in a value or in a ValueError that names what is allowed, in one line."""
    said = "a value"
    try:
        READERS[name](value)
    except ValueError as error:
        said = str(error)
    assert said.startswith(("a ", "one of ", "true or false", "the name of "))
    assert "\n" not in said


@pytest.mark.parametrize(
    ("value", "size_bytes"),
    [("0", 0), (1048576, 1048576), ("500K", 512_000), ("20M", 20 * 2**20), ("1.5G", 3 * 2**29), (" 2 GiB ", 2**31)],
)
def test_sizes_have_units_of_1024(value: object, size_bytes: int) -> None:
    """A size is a number of bytes, or text with a unit of 1024, 1024^2, ..."""
    assert values.size(0)(value) == size_bytes


@pytest.mark.parametrize("value", ["", "-1", -1, True, 1.5, "1e9", "20X", "M", "9" * 40, 2**61, "2 000"])
def test_what_is_no_size_is_refused(value: object) -> None:
    """A negative, endless, fractional or unknown amount is no size."""
    with pytest.raises(ValueError, match="a number of bytes"):
        values.size(0)(value)


@pytest.mark.parametrize("name", ["bandwidth", "max_file_size"])
def test_a_limit_of_nothing_is_refused(name: str) -> None:
    """No recording could ever be fetched at 0 bytes per second, or with 0 bytes at most."""
    with pytest.raises(ValueError, match="at least 1"):
        READERS[name](0)


def test_days_are_iso_or_relative() -> None:
    """A day is `2025-08-04`, a date of TOML, or so many days ago, counted in UTC."""
    today = dt.datetime.now(dt.UTC).date()
    assert values.date(" 2025-08-04 ") == values.date(dt.date(2025, 8, 4)) == dt.date(2025, 8, 4)
    assert values.date("30d") in (today - dt.timedelta(days=30), today - dt.timedelta(days=29))


@pytest.mark.parametrize(
    "value", ["2025-02-30", "20250804", "2025-8-4", "99999999d", "-3d", "99999d ago", "", dt.datetime(2025, 8, 4), 30]
)
def test_what_is_no_day_is_refused(value: object) -> None:
    """A day that does not exist, another spelling or an instant is no day."""
    with pytest.raises(ValueError, match="a day such as"):
        values.date(value)


@pytest.mark.parametrize(
    "url",
    ["https://platform.example.com/api", "http://127.0.0.1:8080/api", "http://[::1]:8080", "http://localhost/api"],
)
def test_the_api_is_reached_over_https_or_on_loopback(url: str) -> None:
    """https anywhere, http on this machine only; a slash at the end is taken away."""
    assert values.api_url(url + "/") == url


@pytest.mark.parametrize("url", ["http://platform.example.com", "http://10.0.0.1", "http://127.0.0.1.example.com"])
def test_http_elsewhere_is_refused(url: str) -> None:
    """The key would travel readable."""
    with pytest.raises(ValueError, match="https://"):
        values.api_url(url)


@pytest.mark.parametrize(
    "url",
    [
        *("", "platform.example.com", "ftp://h/api", "https://", "https://me:pw@h", "https://:pw@h", "https://h/?a=b"),
        *("https://h/#x", "http://[", "https://h:99999", "https://h:x", "https://\udc80/", 8080),
    ],
)
def test_what_is_no_base_url_is_refused(url: object) -> None:
    """A base URL has a host, and no user, password, query or fragment."""
    with pytest.raises(ValueError, match=r"^a (URL such as|text)"):
        values.api_url(url)


@pytest.mark.parametrize("value", [0, 1, 0.0, "", " ", "maybe", None, [], dt.date(2025, 8, 4)])
def test_a_switch_is_never_guessed(value: object) -> None:
    """`must_exist = 1` in the file must not turn it off in silence: what is neither true nor false is refused."""
    with pytest.raises(ValueError, match="true or false"):
        values.switch(value)


@pytest.mark.parametrize(("word", "on"), [("0", False), ("false", False), ("No", False), ("1", True), ("ON", True)])
def test_a_switch_may_be_a_word(word: str, on: bool) -> None:
    """The environment knows only text."""
    assert values.switch(word) is on


@pytest.mark.parametrize(("value", "fine"), [(1, True), ("100", True), (0, False), (101, False), ("1_0", False)])
def test_per_page_is_1_to_100(value: object, fine: bool) -> None:
    """The platform serves 1 to 100 calls a page; more is never asked for."""
    read = READERS["per_page"]
    if fine:
        assert read(value) == int(str(value))
    else:
        with pytest.raises(ValueError, match="from 1 to 100"):
            read(value)


def test_numbers_are_finite_and_no_switches() -> None:
    """NaN, infinity and `true` are no number of seconds."""
    for value in ("nan", "inf", True, -1, 1e9, 10**400, "five"):
        with pytest.raises(ValueError, match="a number from 0 to 3600"):
            READERS["retry_wait_seconds"](value)


@pytest.mark.parametrize("value", ["a,b", " a , b", ["a", "b"], ("a", "b", "a"), ["a,b"]])
def test_words_are_a_list_or_stand_between_commas(value: object) -> None:
    """A list says the same from the environment, from the file and from flags given several times; none counts twice."""
    assert values.words(value) == ("a", "b")


@pytest.mark.parametrize("value", ["a,,b", "", ",", [], ["a", ""], ["a", 1], 1, {"a": 1}])
def test_an_empty_word_or_list_is_refused(value: object) -> None:
    """A filter that is blank would select other calls than were meant; no filter is one that is left out."""
    with pytest.raises(ValueError, match="a list of words"):
        values.words(value)


def test_a_status_keeps_its_case_and_a_host_does_not() -> None:
    """Statuses are the platform's open set, compared by it; the case of a host's name means nothing."""
    assert READERS["status"]("Voicemail,completed") == ("Voicemail", "completed")
    assert READERS["recording_host"]("CDN.Example.com,cdn.example.com,::1") == ("cdn.example.com", "::1")


@pytest.mark.parametrize("host", ["https://cdn.example.com", "cdn.example.com/x", "cdn.example.com:443", "1.2.3.4:80"])
def test_what_could_match_no_host_is_refused(host: str) -> None:
    """A host with scheme, port or path would match no link, and every recording would fail."""
    with pytest.raises(ValueError, match="a list of host names"):
        READERS["recording_host"](host)


def test_the_type_is_one_that_is_documented() -> None:
    """`type` is inbound, outbound or web, in any case."""
    assert READERS["type"](" Inbound ") == "inbound"
    with pytest.raises(ValueError, match="one of inbound, outbound, web"):
        READERS["type"]("sideways")


def test_a_path_may_begin_at_home() -> None:
    """`~` is the user's home; somebody's that does not exist, and a NUL, are refused."""
    assert values.path("~/calls") == Path.home() / "calls"
    for wrong in ("~nobody-of-this-name/calls", "a\0b", "", 5):
        with pytest.raises(ValueError, match="a path"):
            values.path(wrong)


@pytest.mark.parametrize("name", ["Mars/Base", "../etc/passwd", "Europe", "UTC\0", ""])
def test_a_zone_is_of_the_iana_database(name: str) -> None:
    """A name that is no zone is refused, and reads no file outside the database."""
    assert str(values.zone("Europe/Berlin")) == "Europe/Berlin"
    with pytest.raises(ValueError, match=r"time zone|a text"):
        values.zone(name)
