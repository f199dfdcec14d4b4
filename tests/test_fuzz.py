"""The targets of the fuzzer hold for what hypothesis makes of them too, and for what is as it should be."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fuzz.made import seeds
from fuzz.targets import TARGETS

SEEDS = seeds()


@st.composite
def spoiled(draw: st.DrawFn, name: str) -> bytes:
    """Bytes that are as they should be, with a piece of them replaced, and bytes that never were."""
    seed = draw(st.sampled_from([b"", *SEEDS[name]]))
    start, length = draw(st.integers(0, len(seed))), draw(st.integers(0, 40))
    return seed[:start] + draw(st.binary(max_size=60)) + seed[start + length :]


@pytest.mark.parametrize("name", TARGETS)
@given(data=st.data())
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_a_target_holds(name: str, data: st.DataObject) -> None:
    """What comes from outside is read, or refused in words, whatever it is."""
    TARGETS[name](data.draw(spoiled(name)))


@pytest.mark.parametrize("name", TARGETS)
def test_a_target_takes_what_is_as_it_should_be(name: str) -> None:
    """The seeds reach what lies behind the parsers: none of them is refused by a target itself."""
    for seed in SEEDS[name]:
        TARGETS[name](seed)
