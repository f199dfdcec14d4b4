"""The set of ids of a listing: it tells apart what is different, and remembers what was shown."""

from hypothesis import given
from hypothesis import strategies as st

from harvester.platform.ids import Ids

ODD = [
    "7",
    "07",
    "007",
    "0",
    "00",
    "-7",
    "+7",
    "7 ",
    "\u0667",
    "1e3",
    "1_000",
    "9" * 18,
    "9" * 19,
    "9" * 5000,
    "",
    "call-7",
]


@given(st.lists(st.one_of(st.sampled_from(ODD), st.text(max_size=8), st.integers(0, 99).map(str))), st.text(max_size=8))
def test_it_is_a_set(shown: list[str], other: str) -> None:
    """Whatever ids look like: those shown are in it, others are not, and each counts once."""
    ids = Ids()
    ids.update(shown)
    assert len(ids) == len(set(shown))
    for call_id in [*ODD, other]:
        assert (call_id in ids) == (call_id in shown)
