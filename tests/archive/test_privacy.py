"""What is handed to strangers tells that a call was archived, and nothing of what or with whom was spoken."""

import pytest

from harvester.archive.layout import RUNS
from harvester.mask import masked
from harvester.model import Call
from harvester.report import Account, lines_of
from tests.archive.sites import Site, call

NAME, CALLER, OURS = "Zebulon Quark", "+1 (987) 654-3210", "+49301234567"
SPEECH, KEY, SIGNATURE = "xylophone at midnight", "k3y-0f-th3-acc0unt", "s1gn4tur3"
LINKS = [
    f"https://recordings.example/calls/{{id}}.mp3?key={KEY}&sig={SIGNATURE}",
    f"https://recordings.example/+19876543210/{{id}}.mp3?caller={NAME}&sig={SIGNATURE}",
    f"https://recordings.example/%2B19876543210_49301234567.mp3?sig={SIGNATURE}#{SIGNATURE}",
    f"https://recordings.example/1-987-654-3210/00493 01234567.mp3?sig={SIGNATURE}",
    f"https://recordings.example/calls/{{id}}.mp3?a?b={SIGNATURE}",
]
REASONS = [
    "https://recordings.example/%2B19876543210.mp3 answered 404",
    "no connection for 1 987 654 3210",
    "the calls of +49301234567 and +19876543210 are not there",
]


def secrets() -> set[bytes]:
    """What must not be found, in the spellings that rows, links and reasons give it."""
    numbers = {"9876543210", "987-654-3210", "987 654 3210", "(987) 654", "1234567", "01234567"}
    return {text.encode() for text in {NAME, SPEECH, KEY, SIGNATURE, "?", *numbers}}


def telling_call(number: int, link: str) -> Call:
    """A call full of what must not leave the dated tree."""
    return call(
        number,
        client_phone_number=CALLER,
        assistant_phone_number=OURS,
        transcript=[{"sender": "human", "text": f"I am {NAME}: {SPEECH}"}],
        variables={"customer_name": NAME, "key": KEY},
        campaign_name=NAME,
        recording_url=link.replace("{id}", str(number)),
    )


@pytest.fixture
async def told(site: Site, anyio_backend: str) -> Site:
    """An archive of such calls: saved, failed, changed."""
    calls = [telling_call(number, link) for number, link in enumerate(LINKS)]
    await site.saved(*calls)
    with site.run() as run:
        for number, reason in enumerate(REASONS, start=100):
            draft = await run.draft(telling_call(number, LINKS[2]), None, failure=reason)
            assert draft.outcome.reason == masked(reason, (CALLER, OURS))
            run.archive.commit([draft])
        await run.save(telling_call(0, LINKS[1]))
        etag = {"etag": '"1 (987) 654-3210/49301234567"', "content-type": "audio/mpeg; name=19876543210.mp3"}
        run.archive.commit([await run.draft(telling_call(99, LINKS[0]), headers=etag)])
        run.close()
    return site


async def test_no_byte_of_a_run_tells_who_spoke_or_what(told: Site) -> None:
    """No phone number, name, transcript text, query string or key is in any ledger, manifest, account or path."""
    shown = told.files(RUNS) | dict.fromkeys(told.tree(), b"")
    for key, data in shown.items():
        for secret in secrets():
            assert secret not in key.encode() + data, (key, secret, data)


async def test_the_dated_tree_holds_it_all(told: Site) -> None:
    """The row itself is kept byte for byte: what is left out of the ledger is lost nowhere."""
    held = b"".join(data for key, data in told.files().items() if key in told.tree())
    assert all(text.encode() in held for text in (NAME, CALLER, SPEECH, KEY, SIGNATURE))


async def test_the_reason_of_a_failed_call_bears_no_number(site: Site) -> None:
    """Whatever the platform or a host has answered, a caller's number in it is replaced before it is an outcome."""
    with site.run() as run:
        for number, text in enumerate(REASONS):
            draft = await run.draft(telling_call(number, LINKS[0]), None, failure=text)
            assert "(number)" in (draft.outcome.reason or "")
            assert not any(secret in (draft.outcome.reason or "").encode() for secret in secrets())


async def test_the_log_of_a_failed_call_bears_no_number(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    """The caller's number is left out of what is logged, also where it is spelt in a way that only the row tells."""
    caplog.set_level("DEBUG")
    with site.run() as run:
        for number, text in enumerate(REASONS):
            await run.draft(telling_call(number, LINKS[0]), None, failure=text)
    assert caplog.text.count("(number)") >= len(REASONS)
    assert not any(secret in caplog.text.encode() for secret in secrets())


async def test_what_came_instead_of_a_recording_is_shown_and_not_kept(site: Site) -> None:
    """An error page may name the caller and repeat what was spoken: the screen gets its beginning, the archive nothing of it."""
    page = f"<html>{NAME} ({CALLER}, {OURS}) said: {SPEECH}</html>".encode()
    with site.run() as run:
        draft = await run.draft(telling_call(0, LINKS[0]), page)
        outcome = draft.outcome
        assert outcome.quote == f"<html>{NAME} ((number), (number)) said: {SPEECH}</html>"
        assert outcome.reason is not None
        assert outcome.reason.endswith("is not a recording: it begins with '<html', as pages do")
        account = Account(run=run.id, archive="A", started_at="")
        account.count(outcome)
        assert f"it says: <html>{NAME}" in "\n".join(lines_of(account))
        run.archive.commit([draft])
        run.archive.close({"verdict": "incomplete"}, account.as_json())
    for key, data in site.files(RUNS).items():
        assert not any(secret in data for secret in secrets()), key
    assert not any(secret in site.db.read_bytes() for secret in secrets())


async def test_links_that_differ_in_their_signature_only_are_one(site: Site) -> None:
    """A link signed anew is the same recording: nothing is fetched, nothing written, no line."""
    await site.saved(telling_call(1, LINKS[1]))
    with site.run() as run:
        again = telling_call(1, LINKS[1].replace(SIGNATURE, "another"))
        draft = await run.draft(again, None)
        assert (draft.staged, draft.outcome.reason) == ((), None)
