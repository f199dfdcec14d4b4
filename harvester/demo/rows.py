"""Make the row of one call: every field of the list, in the order of the documentation, in all its shapes.

In:   the seed of a book, the index of a call, when it was made.  Out: the row as a dict, ready for JSON.

What the list can be filtered by (status, type, assistant, campaign, number) has a function of its own, because a
filter asks for that alone, a million times. `recording_url` is a path here, such as "/calls/7.mp3": the server
that serves it puts its origin in front.
"""

from datetime import UTC, datetime
from typing import TypeAlias

from harvester.demo.draws import Name, fraction, number, one_of, weighted
from harvester.demo.scripts import ASSISTANTS, CAMPAIGNS, DAYS, PERSONS, SCRIPTS, VOICEMAIL, Script

Row: TypeAlias = dict[str, object]

CONNECTED = frozenset({"completed", "ended", "ended_by_customer", "ended_by_assistant"})
IN_PROGRESS = ("initiated", "ringing", "in-progress")

_SETTLED = (
    (46, "completed"),
    (12, "ended"),
    (12, "ended_by_customer"),
    (10, "ended_by_assistant"),
    (10, "no-answer"),
    (5, "busy"),
    (5, "failed"),
)
_TYPES = ((50, "outbound"), (35, "inbound"), (15, "web"))
_ANSWERED_BY = ((80, "human"), (10, "machine"), (5, "unknown"), (5, None))
_TRANSCRIPTS = ((44, "text"), (44, "turns"), (4, None), (4, ""), (4, "[]"))
_RECORDINGS = ((70, "mp3"), (10, "mp4"), (10, "plus"), (6, None), (4, ""))
_ASSISTANT_IDS = tuple(ASSISTANTS)
_CAMPAIGN_IDS = tuple(CAMPAIGNS)

_SHORTEST_SECONDS = 6
_SECONDS_TO_SPEAK = 5  # about one turn
_COST_PER_SECOND = 0.0004


def type_of(seed: int, index: int) -> str:
    """The type of the call: inbound, outbound or web."""
    return weighted(_TYPES, seed, index, Name.TYPE)


def status_of(seed: int, index: int) -> str:
    """The status of the call once it is over."""
    return weighted(_SETTLED, seed, index, Name.STATUS)


def assistant_id_of(seed: int, index: int) -> int:
    """The assistant of the call, a key of `scripts.ASSISTANTS`."""
    return one_of(_ASSISTANT_IDS, seed, index, Name.ASSISTANT)


def campaign_id_of(seed: int, index: int) -> int | None:
    """The campaign of the call, a key of `scripts.CAMPAIGNS`. Only calls that go out have one."""
    if type_of(seed, index) != "outbound" or number(seed, index, Name.CAMPAIGN) % 10 < 2:
        return None
    return one_of(_CAMPAIGN_IDS, seed, index, Name.CAMPAIGN)


def assistant_number_of(seed: int, index: int) -> str | None:
    """The line of the assistant; a call from a web page has none."""
    return None if type_of(seed, index) == "web" else ASSISTANTS[assistant_id_of(seed, index)].phone_number


def client_number_of(seed: int, index: int) -> str | None:
    """The number of the other side; None from a web page, and where the caller hides it."""
    if type_of(seed, index) == "web" or number(seed, index, Name.CLIENT_KNOWN) % 20 == 0:
        return None
    drawn = number(seed, index, Name.CLIENT)
    if drawn % 4 == 0:
        return f"+4930231250{drawn // 4 % 100:02}"
    return f"+1{200 + drawn % 700}5550{100 + drawn // 700 % 100}"


def audio_seed(seed: int, call_id: int) -> int:
    """The seed of a call's recording."""
    return number(seed, call_id, Name.AUDIO)


def settled_row(seed: int, index: int, *, call_id: int, created_s: int, most_s: int, whole: bool = False) -> Row:
    """The row of a call that is over.

    `created_s` in Unix seconds; the call lasts at most `most_s` seconds. A `whole` call is completed and has a
    transcript and a recording; any other has what chance gives it.
    """
    status = "completed" if whole else status_of(seed, index)
    connected = status in CONNECTED
    seconds = _duration(seed, index, most_s) if connected else None
    assistant_id = assistant_id_of(seed, index)
    campaign_id = campaign_id_of(seed, index)
    answered_by = weighted(_ANSWERED_BY, seed, index, Name.ANSWERED_BY) if connected else None
    with_zone = number(seed, index, Name.INSTANT_FORM) % 25 == 0
    carrier_cost, total_cost = _costs(seed, index, seconds)
    return {
        "id": call_id,
        "assistant_name": ASSISTANTS[assistant_id].name,
        "campaign_name": None if campaign_id is None else CAMPAIGNS[campaign_id],
        "type": type_of(seed, index),
        "duration": seconds if connected else (None, 0)[index % 2],
        "assistant_phone_number": assistant_number_of(seed, index),
        "client_phone_number": client_number_of(seed, index),
        "status": status,
        "transcript": _transcript(seed, index, created_s, seconds, answered_by=answered_by, whole=whole),
        "variables": _variables(seed, index),
        "evaluation": _evaluation(seed, index) if connected else (None, [])[index % 2],
        "webhook_response": _webhook_response(seed, index) if connected else None,
        "carrier_cost": carrier_cost,
        "total_cost": total_cost,
        "answered_by": answered_by,
        "recording_url": _recording_path(seed, index, call_id, whole=whole) if connected else (None, "")[index % 2],
        "created_at": _text_of(created_s, with_zone=with_zone),
        "updated_at": _text_of(created_s + (seconds or 20) + 5, with_zone=with_zone),
    }


def unsettled_fields(status: str, created_at: str) -> Row:
    """What differs while a call is still going on, or has just ended: nothing is there yet."""
    over = status in CONNECTED
    return {
        "status": status,
        **({} if over else {"duration": None, "answered_by": None, "carrier_cost": None, "total_cost": None}),
        "transcript": None,
        "evaluation": None,
        "webhook_response": None,
        "recording_url": None,
        "updated_at": created_at,
    }


def _text_of(instant_s: int, *, with_zone: bool) -> str:
    instant = datetime.fromtimestamp(instant_s, UTC)
    return f"{instant:%Y-%m-%dT%H:%M:%SZ}" if with_zone else f"{instant:%Y-%m-%d %H:%M:%S}"


def _duration(seed: int, index: int, most_s: int) -> int:
    """Most calls are short: the square of a fraction, so that the mean is about a third of the greatest."""
    return _SHORTEST_SECONDS + int(fraction(seed, index, Name.DURATION) ** 2 * max(0, most_s - _SHORTEST_SECONDS))


def _costs(seed: int, index: int, seconds: int | None) -> tuple[object, object]:
    """Carrier cost and total cost: mostly numbers, often decimals in a string, sometimes null."""
    carrier = round((seconds or 0) * _COST_PER_SECOND, 4)
    total = round(carrier * 1.25, 5)
    form = number(seed, index, Name.COST_FORM) % 10
    if form == 0:
        return None, None
    return (f"{carrier:.8f}", f"{total:.8f}") if form < 4 else (carrier, total)


def _script(seed: int, index: int, answered_by: str | None) -> Script:
    return VOICEMAIL if answered_by == "machine" else one_of(SCRIPTS, seed, index, Name.SCRIPT)


def _transcript(
    seed: int, index: int, created_s: int, seconds: int | None, *, answered_by: str | None, whole: bool
) -> object:
    if seconds is None:
        return (None, "", [])[index % 3]
    form = weighted(_TRANSCRIPTS, seed, index, Name.TRANSCRIPT)
    if form not in ("text", "turns") and not whole:
        return [] if form == "[]" else form
    person = one_of(PERSONS, seed, index, Name.PERSON)
    day = one_of(DAYS, seed, index, Name.DAY)
    script = _script(seed, index, answered_by)[: max(2, seconds // _SECONDS_TO_SPEAK)]
    said = [(sender, text.format(person=person, day=day)) for sender, text in script]
    if form != "turns":
        return "\n".join(text for _, text in said)
    gap_s = seconds / len(said)
    return [
        {"text": text, "type": "transcript", "sender": sender, "timestamp": round(created_s + gap_s * turn + 0.731, 3)}
        for turn, (sender, text) in enumerate(said)
    ]


def _variables(seed: int, index: int) -> object:
    form = number(seed, index, Name.VARIABLES) % 10
    if form < 2:
        return []
    if form == 2:
        return None
    return {
        "customer_name": one_of(PERSONS, seed, index, Name.PERSON),
        "interest_level": ("low", "medium", "high")[form % 3],
        "follow_up_date": f"2025-08-{form + 10}",
    }


def _evaluation(seed: int, index: int) -> object:
    form = number(seed, index, Name.EVALUATION) % 10
    score = number(seed, index, Name.SCORE) % 21 / 2
    if form < 5:
        return {"sentiment": ("positive", "neutral", "negative")[form % 3], "outcome": "qualified_lead", "score": score}
    if form < 8:
        return [
            {"name": "score", "type": "number", "value": score, "description": "How well the call went, 0 to 10"},
            {"name": "booked", "type": "bool", "value": form == 5, "description": "Whether a date was agreed"},
        ]
    return [] if form == 8 else None


def _webhook_response(seed: int, index: int) -> object:
    drawn = number(seed, index, Name.WEBHOOK)
    if drawn % 3 == 0:
        return None
    return {"status": "success", "data": {"crm_contact_id": f"{drawn & 0xFFFFFF:06x}"}}


def _recording_path(seed: int, index: int, call_id: int, *, whole: bool) -> str | None:
    form = weighted(_RECORDINGS, seed, index, Name.RECORDING)
    if form == "mp4":
        return f"/calls/{call_id}.mp4"
    if form == "plus":
        return f"/calls/{client_number_of(seed, index) or '+12025550100'}_{call_id}.mp3"
    if form == "mp3" or whole:
        return f"/calls/{call_id}.mp3"
    return form
