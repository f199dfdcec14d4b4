"""Chance that can be looked up: the draw for call i needs neither the draws before it nor any state.

In:   a seed, an index, the name of what is drawn.  Out: an integer, or a fraction of 1; always the same.

A `random.Random` for every call would cost ten times as much, and a book of a million calls is scanned by
attribute in one go.
"""

from collections.abc import Sequence
from enum import IntEnum
from typing import TypeVar

T = TypeVar("T")

_MASK = (1 << 64) - 1

# The odd constants of splitmix64 (Steele, Lea, Flood 2014); the two below it only keep index and name apart.
_GOLDEN = 0x9E3779B97F4A7C15
_MIX_1 = 0xBF58476D1CE4E5B9
_MIX_2 = 0x94D049BB133111EB
_INDEX_STEP = 0xD1342543DE82EF95
_NAME_STEP = 0xA0761D6478BD642F

_FRACTION = 2.0**-53


class Name(IntEnum):
    """What is drawn. Every name is a sequence of its own."""

    TYPE = 1
    STATUS = 2
    ASSISTANT = 3
    CAMPAIGN = 4
    CLIENT = 5
    CLIENT_KNOWN = 6
    INSTANT = 7
    INSTANT_FORM = 8
    DURATION = 9
    TRANSCRIPT = 10
    SCRIPT = 11
    PERSON = 12
    VARIABLES = 13
    EVALUATION = 14
    SCORE = 15
    WEBHOOK = 16
    COST_FORM = 17
    ANSWERED_BY = 18
    RECORDING = 19
    AUDIO = 20
    PLACE = 21
    DAY = 22


def number(seed: int, index: int, name: Name) -> int:
    """An integer of 64 bits, by the finalizer of splitmix64."""
    mixed = (seed * _GOLDEN + index * _INDEX_STEP + name * _NAME_STEP + _GOLDEN) & _MASK
    mixed = ((mixed ^ (mixed >> 30)) * _MIX_1) & _MASK
    mixed = ((mixed ^ (mixed >> 27)) * _MIX_2) & _MASK
    return mixed ^ (mixed >> 31)


def fraction(seed: int, index: int, name: Name) -> float:
    """A fraction from 0 up to, not including, 1."""
    return (number(seed, index, name) >> 11) * _FRACTION


def one_of(choices: Sequence[T], seed: int, index: int, name: Name) -> T:
    """One of the choices, each as likely as the next."""
    return choices[number(seed, index, name) % len(choices)]


def weighted(choices: Sequence[tuple[int, T]], seed: int, index: int, name: Name) -> T:
    """One of the choices, each with its weight in percent; the weights add up to 100."""
    percent = number(seed, index, name) % 100
    for weight, choice in choices:
        if percent < weight:
            return choice
        percent -= weight
    raise ValueError(f"the weights of {name.name} do not add up to 100")
