"""Hold the calls of one account: a million of them computed on demand, and the few that a test has touched.

In:   a seed, a count, a span of time.  Out: rows, recordings, and the order of the list for any query.

Call number i is a function of (seed, i), and `created_at` grows with i: a date is found by bisection, and the book
costs no memory per call. What happens while it is served (`insert`, `change`, `finish`, `delete`, `replace_row`)
lies as a small overlay on top. Filters other than dates scan the calls once and keep the indexes that match.
"""

from array import array
from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta

import msgspec

from harvester.demo import rows
from harvester.demo.audio import recording
from harvester.demo.draws import Name, fraction
from harvester.demo.order import Guest, Order, View
from harvester.demo.query import Query, matches, seconds_of
from harvester.demo.rows import Row

__all__ = ["CallBook", "Query"]

_SPAN = timedelta(days=90)
_FRESH_SPAN_S = 1800  # in-progress calls began within the last half an hour

_VIEWS_KEPT = 64


class CallBook:
    """The calls of one account. `len(book)` is how many the platform holds now; ids are integers from `first_id`."""

    def __init__(
        self,
        *,
        seed: int = 1,
        count: int = 200,
        first_at: datetime | None = None,
        last_at: datetime | None = None,
        now: datetime | None = None,
        first_id: int = 100_001,
        in_progress: int = 3,
        late: int = 2,
        most_seconds: int = 230,
        text_ids: bool = False,
    ) -> None:
        """Calls from `first_at` to `last_at`, which are by default the 90 days before `now`.

        The newest `in_progress` calls still go on; the `late` calls before them are over but have neither
        transcript nor recording yet. No call lasts longer than `most_seconds`; the mean is a third of it.
        With `text_ids` the id in a row is a string of digits. Inserted calls and changes bear the date `now` or,
        if None, the real time.
        """
        self._now = now
        last_at = last_at or self._instant()
        first_at = first_at or last_at - _SPAN
        if first_at >= last_at:
            raise ValueError("first_at must lie before last_at")
        self.seed = seed
        self.count = count
        self.first_id = first_id
        self._in_progress = min(in_progress, count)
        self._fresh = min(in_progress + late, count)
        self._most_seconds = most_seconds
        self._text_ids = text_ids
        self._first_s = int(first_at.timestamp())
        self._last_s = int(last_at.timestamp())
        self._fresh_span_s = min(_FRESH_SPAN_S, (self._last_s - self._first_s) // 10)
        self._arrived_s: list[int] = []
        self._touched: dict[int, Row | None] = {}  # index -> the whole row; None: deleted
        self._raw: dict[int, bytes] = {}
        self._matching: dict[Query, Sequence[int]] = {}
        self._views: dict[tuple[Query, Order], View] = {}

    def __len__(self) -> int:
        return len(self.find(Query(), "oldest"))

    def ids(self) -> Iterator[int]:
        """Every call that exists now, oldest first."""
        view = self.find(Query(), "oldest")
        for start in range(0, len(view), 100):
            yield from view.page(start, start + 100)

    def row(self, call_id: int) -> Row:
        """The row of one call; `recording_url` is a path, such as "/calls/7.mp3", unless a change gave it a host.

        KeyError when there is no such call.
        """
        index = self._index(call_id)
        touched = self._touched.get(index)
        return dict(touched) if touched is not None else self._computed(index)

    def raw(self, call_id: int) -> bytes | None:
        """The bytes that `replace_row` put in place of the row, or None."""
        return self._raw.get(call_id - self.first_id)

    def recording(self, call_id: int) -> bytes:
        """The recording of one call, byte for byte as it is served. KeyError when the call has none."""
        row = self.row(call_id)
        path, seconds = row["recording_url"], row["duration"]
        if not path or not isinstance(seconds, int):
            raise KeyError(call_id)
        return recording(rows.audio_seed(self.seed, call_id), seconds, "m4a" if str(path).endswith(".mp4") else "mp3")

    def unsettled(self) -> list[int]:
        """The calls that still go on or whose recording is still to come, oldest first: `finish` settles them."""
        return [
            self.first_id + index for index in range(self.count - self._fresh, self.count) if index not in self._touched
        ]

    def find(self, query: Query, order: Order) -> View:
        """The calls that match, in the order asked for."""
        if (query, order) not in self._views:
            if len(self._views) >= _VIEWS_KEPT:
                self._views.clear()
            self._views[query, order] = self._view(query, order)
        return self._views[query, order]

    def insert(self, changes: Mapping[str, object] | None = None) -> int:
        """A new call arrives now, completed and with a recording unless `changes` say otherwise. Returns its id."""
        index = self.count + len(self._arrived_s)
        self._arrived_s.append(int(self._instant().timestamp()))
        self._touch(index, {**self._settled(index, whole=True), **(changes or {})})
        return self.first_id + index

    def delete(self, call_id: int) -> None:
        """The call and its recording are gone. KeyError when there is no such call."""
        self._raw.pop(self._index(call_id), None)
        self._touch(self._index(call_id), None)

    def change(self, call_id: int, **fields: object) -> None:
        """Fields of the row change; `updated_at` becomes now unless it is among them. KeyError: no such call."""
        updated_at = f"{self._instant():%Y-%m-%d %H:%M:%S}"
        self._touch(self._index(call_id), {**self.row(call_id), "updated_at": updated_at, **fields})

    def finish(self, call_id: int) -> None:
        """A call ends as completed, or a late one gets its transcript and recording. KeyError: no such call."""
        settled = self._settled(self._index(call_id), whole=True)
        kept = ("id", "created_at", "updated_at")
        self.change(call_id, **{name: value for name, value in settled.items() if name not in kept})

    def replace_row(self, call_id: int, raw: bytes) -> None:
        """Serve exactly these bytes as the row, where the call stands in the list. KeyError: no such call."""
        self._raw[self._index(call_id)] = raw

    def _instant(self) -> datetime:
        return self._now or datetime.now(UTC)

    def _index(self, call_id: int) -> int:
        index = call_id - self.first_id
        exists = 0 <= index < self.count + len(self._arrived_s) and self._touched.get(index, {}) is not None
        if not exists:
            raise KeyError(call_id)
        return index

    def _touch(self, index: int, row: Row | None) -> None:
        self._touched[index] = row
        self._views.clear()

    def _created_s(self, index: int) -> int:
        """When call number `index` was made, in Unix seconds; never before the call with the index below."""
        if index >= self.count:
            return self._arrived_s[index - self.count]
        fresh_from = self.count - self._fresh
        if index >= fresh_from:
            share = (index - fresh_from + 0.5) / self._fresh
            return self._last_s - self._fresh_span_s + int(self._fresh_span_s * share)
        share = (index + fraction(self.seed, index, Name.INSTANT)) / fresh_from
        span_s = self._last_s - self._fresh_span_s - self._first_s
        return self._first_s + int(span_s * share)

    def _computed(self, index: int) -> Row:
        if index < self.count - self._fresh:
            return self._settled(index, whole=False)
        row = self._settled(index, whole=True)
        return row | rows.unsettled_fields(self._status(index), str(row["created_at"]))

    def _settled(self, index: int, *, whole: bool) -> Row:
        row = rows.settled_row(
            self.seed,
            index,
            call_id=self.first_id + index,
            created_s=self._created_s(index),
            most_s=self._most_seconds,
            whole=whole,
        )
        return {**row, "id": str(row["id"])} if self._text_ids else row

    def _status(self, index: int) -> str:
        from_newest = self.count - 1 - index
        if from_newest < self._in_progress:
            return rows.IN_PROGRESS[from_newest % len(rows.IN_PROGRESS)]
        return "completed" if from_newest < self._fresh else rows.status_of(self.seed, index)

    def _view(self, query: Query, order: Order) -> View:
        calls = self._untouched(query)
        low = 0 if query.from_s is None else bisect_left(calls, query.from_s, key=self._created_s)
        high = len(calls) if query.until_s is None else bisect_left(calls, query.until_s, key=self._created_s)
        calls = calls[low : max(low, high)]
        guests = [
            self._guest(index, row, calls)
            for index, row in self._touched.items()
            if row is not None and matches(row, query)
        ]
        return View(calls, touched=self._touched.keys(), guests=guests, order=order, first_id=self.first_id)

    def _guest(self, index: int, row: Row, calls: Sequence[int]) -> Guest:
        created_s = seconds_of(row["created_at"])
        before = bisect_left(calls, (created_s, index), key=lambda at: (self._created_s(at), at))
        return Guest(before=before, created_s=created_s, index=index)

    def _untouched(self, query: Query) -> Sequence[int]:
        """The indexes, oldest first, that match the filters other than the dates, as if no call had been touched."""
        attributes = msgspec.structs.replace(query, from_s=None, until_s=None)
        if attributes == Query():
            return range(self.count)
        if attributes not in self._matching:
            self._matching[attributes] = memoryview(array("I", self._scan(attributes)))
        return self._matching[attributes]

    def _scan(self, query: Query) -> Iterator[int]:
        seed = self.seed
        for index in range(self.count):
            if (
                (query.status is None or self._status(index) == query.status)
                and (query.type is None or rows.type_of(seed, index) == query.type)
                and (query.assistant_id is None or rows.assistant_id_of(seed, index) == query.assistant_id)
                and (query.campaign_id is None or rows.campaign_id_of(seed, index) == query.campaign_id)
                and (
                    query.phone_number is None
                    or rows.client_number_of(seed, index) == query.phone_number
                    or rows.assistant_number_of(seed, index) == query.phone_number
                )
            ):
                yield index
