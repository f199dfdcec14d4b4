"""The filters of one request, and which rows pass them.

In:   a `Query`, a row.  Out: yes or no.

Only touched calls are held against a query row by row; the book finds the others by their index.
"""

from datetime import UTC, datetime

import msgspec

from harvester.demo.rows import Row
from harvester.demo.scripts import ASSISTANTS, CAMPAIGNS

# A call whose created_at nobody can read is older than all others, and in no range of dates, as NULL in SQL.
UNREADABLE = float("-inf")


class Query(msgspec.Struct, frozen=True, kw_only=True):
    """The filters of one request; None lets every call through.

    `phone_number` matches either side. `from_s` and `until_s` are Unix seconds; `until_s` itself is outside.
    """

    status: str | None = None
    type: str | None = None
    phone_number: str | None = None
    assistant_id: int | None = None
    campaign_id: int | None = None
    from_s: float | None = None
    until_s: float | None = None


def matches(row: Row, query: Query) -> bool:
    """Whether a touched row passes the filters."""
    created_s = seconds_of(row["created_at"])
    assistant = ASSISTANTS.get(query.assistant_id or 0)
    return (
        (query.status is None or row["status"] == query.status)
        and (query.type is None or row["type"] == query.type)
        and (
            query.phone_number is None
            or query.phone_number in (row["client_phone_number"], row["assistant_phone_number"])
        )
        and (query.assistant_id is None or (assistant is not None and row["assistant_name"] == assistant.name))
        and (query.campaign_id is None or row["campaign_name"] == CAMPAIGNS.get(query.campaign_id, ""))
        and (query.from_s is None or created_s >= query.from_s)
        and (query.until_s is None or UNREADABLE < created_s < query.until_s)
    )


def seconds_of(created_at: object) -> float:
    """Unix seconds of a `created_at`; text without a zone is in UTC."""
    try:
        instant = datetime.fromisoformat(str(created_at))
    except ValueError:
        return UNREADABLE
    return (instant if instant.tzinfo else instant.replace(tzinfo=UTC)).timestamp()
