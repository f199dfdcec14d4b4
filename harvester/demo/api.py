"""Answer the requests of the API: who asks, how often, and what for.

In:   method, path, query and headers of a request.  Out: an `Answer`.

Nothing here waits or fails on purpose: that is the server's part, and that of `faults`.
"""

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

from harvester.demo.answers import HTML, Answer, json_answer, php_json
from harvester.demo.calls import CallBook, Query
from harvester.demo.options import Options
from harvester.demo.paginator import envelope, last_page, page_number
from harvester.demo.recordings import Links

LIST_PATH = "/api/user/calls"
ME_PATH = "/api/user/me"
LOGIN_PATH = "/login"

_PER_PAGE = 15
_PER_PAGE_MOST = 100
_TYPES = ("inbound", "outbound", "web")
_LOGIN_PAGE = b"<!DOCTYPE html><html><head><title>Log in</title></head><body><form>...</form></body></html>"


def call_id_in(path: str) -> int | None:
    """The call that the path of a request for one call names, or None."""
    found = re.fullmatch(f"{LIST_PATH}/([0-9]{{1,18}})", path)
    return int(found[1]) if found else None


class Api:
    """The API of one account."""

    def __init__(self, book: CallBook, options: Options, *, key: str, origin: str, links: Links) -> None:
        """`origin` is scheme, host and port of the API."""
        self._book = book
        self._options = options
        self._key = key
        self._origin = origin
        self._links = links

    def refusal(self, method: str, path: str, headers: Mapping[str, str]) -> Answer | None:
        """The answer to a request that gets no further, or None: only GET, and only with the key."""
        if method != "GET":
            message = f"The {method} method is not supported for route {path[1:]}. Supported methods: GET, HEAD."
            return json_answer(405, {"message": message}, {"Allow": "GET, HEAD"})
        if path == LOGIN_PATH:
            return Answer(body=_LOGIN_PAGE, content_type=HTML)
        if headers.get("Authorization") == f"Bearer {self._key}":
            return None
        if "application/json" in headers.get("Accept", ""):
            return json_answer(401, {"message": "Unauthenticated."})
        return Answer(status=302, content_type=HTML, headers={"Location": self._origin + LOGIN_PATH})

    def answer(self, path: str, query: Mapping[str, str]) -> Answer:
        """The answer to an authenticated GET."""
        if path == LIST_PATH:
            return self._list(query)
        if path == ME_PATH:
            return json_answer(200, {"name": "Demo Account", "email": "demo@example.com", "total_balance": 42.5})
        if path.startswith(f"{LIST_PATH}/"):
            return self._call(call_id_in(path))
        return json_answer(404, {"message": f"The route {path[1:]} could not be found."})

    def row(self, call_id: int) -> bytes:
        """The row of one call as it is served now. KeyError when there is no such call."""
        raw = self._book.raw(call_id)
        if raw is not None:
            return raw
        row = self._book.row(call_id)
        link = row["recording_url"]
        if isinstance(link, str) and link.startswith("/"):
            row["recording_url"] = self._links.issue(link)
        return php_json(row)

    def _call(self, call_id: int | None) -> Answer:
        try:
            return Answer(body=self.row(-1 if call_id is None else call_id))
        except KeyError:
            return json_answer(404, {"message": "Call not found"})

    def _list(self, query: Mapping[str, str]) -> Answer:
        errors = _errors(query)
        if errors:
            return _invalid(errors)
        view = self._book.find(self._query(query), self._options.order)
        total = max(0, len(view) + self._options.total_offset)
        per_page = min(int(query.get("per_page") or _PER_PAGE), self._options.per_page_clamp)
        page = page_number(query.get("page"))
        if self._options.past_the_end == "first-page" and page > last_page(total, per_page):
            page = 1
        ids = view.page((page - 1) * per_page, page * per_page)
        body = envelope(
            [self.row(call_id) for call_id in ids],
            page=page,
            per_page=per_page,
            total=total,
            path=self._origin + LIST_PATH,
            as_object=self._options.data_as_object,
        )
        return Answer(body=body)

    def _query(self, query: Mapping[str, str]) -> Query:
        return Query(
            status=query.get("status") or None,
            type=query.get("type") or None,
            phone_number=query.get("phone_number") or None,
            assistant_id=_integer(query.get("assistant_id")),
            campaign_id=_integer(query.get("campaign_id")),
            from_s=self._midnight(query.get("date_from"), days=0),
            until_s=self._midnight(query.get("date_to"), days=1 if self._options.date_to_inclusive else 0),
        )

    def _midnight(self, date: str | None, *, days: int) -> float | None:
        """When the day that many days after `date` begins, in Unix seconds."""
        if not date or self._options.ignore_dates:
            return None
        midnight = datetime.strptime(date, "%Y-%m-%d").replace(tzinfo=UTC)
        return (midnight - timedelta(hours=self._options.day_zone_hours)).timestamp() + days * 86_400


def _integer(text: str | None) -> int | None:
    return int(text) if text else None


def _errors(query: Mapping[str, str]) -> dict[str, list[str]]:
    """What is wrong with a query, by parameter, in the framework's words."""
    errors: dict[str, list[str]] = {}
    for name in ("per_page", "assistant_id", "campaign_id"):
        if query.get(name) and not re.fullmatch("-?[0-9]{1,18}", query[name]):
            errors[name] = [f"The {name.replace('_', ' ')} field must be an integer."]
    if query.get("per_page") and "per_page" not in errors:
        if int(query["per_page"]) < 1:
            errors["per_page"] = ["The per page field must be at least 1."]
        if int(query["per_page"]) > _PER_PAGE_MOST:
            errors["per_page"] = [f"The per page field must not be greater than {_PER_PAGE_MOST}."]
    for name in ("date_from", "date_to"):
        if query.get(name) and not _is_date(query[name]):
            errors[name] = [f"The {name.replace('_', ' ')} field must match the format Y-m-d."]
    if query.get("type") and query["type"] not in _TYPES:
        errors["type"] = ["The selected type is invalid."]
    return errors


def _is_date(text: str) -> bool:
    try:
        return bool(re.fullmatch(r"\d{4}-\d\d-\d\d", text)) and bool(datetime.strptime(text, "%Y-%m-%d"))
    except ValueError:
        return False


def _invalid(errors: dict[str, list[str]]) -> Answer:
    message = next(iter(errors.values()))[0]
    others = len(errors) - 1
    if others:
        message += f" (and {others} more error{'s' if others > 1 else ''})"
    return json_answer(422, {"message": message, "errors": errors})
