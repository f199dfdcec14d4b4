"""Wrap the rows of one page the way Laravel's LengthAwarePaginator does.

In:   rows as bytes, the page, the total.  Out: the JSON of the answer.

The links drop the filters and `per_page`: the paginator knows only its own path.
"""

import re
from collections.abc import Sequence

from harvester.demo.answers import php_json

# Illuminate\Pagination\UrlWindow with its default of three numbers on each side.
_ON_EACH_SIDE = 3
_EDGE = _ON_EACH_SIDE + 4
_ALL_UP_TO = _ON_EACH_SIDE * 2 + 8


def page_number(text: str | None) -> int:
    """The page asked for; whatever is not an integer of 1 or more silently becomes 1."""
    return int(text) if text and re.fullmatch("[1-9][0-9]{0,17}", text) else 1


def last_page(total: int, per_page: int) -> int:
    """The number of the last page, at least 1."""
    return max(1, -(-total // per_page))


def envelope(rows: Sequence[bytes], *, page: int, per_page: int, total: int, path: str, as_object: bool) -> bytes:
    """The whole answer. `path` is the address of the list without a query."""
    last = last_page(total, per_page)
    start = (page - 1) * per_page
    rest = {
        "first_page_url": _url(path, 1),
        "from": start + 1 if rows else None,
        "last_page": last,
        "last_page_url": _url(path, last),
        "links": _links(path, page, last),
        "next_page_url": _url(path, page + 1) if page < last else None,
        "path": path,
        "per_page": per_page,
        "prev_page_url": _url(path, page - 1) if page > 1 else None,
        "to": start + len(rows) if rows else None,
        "total": total,
    }
    if as_object:
        data = b"{" + b",".join(b'"%d":%b' % keyed for keyed in enumerate(rows)) + b"}"
    else:
        data = b"[" + b",".join(rows) + b"]"
    return b'{"current_page":%d,"data":%b,' % (page, data) + php_json(rest)[1:]


def _url(path: str, page: int) -> str:
    return f"{path}?page={page}"


def _links(path: str, page: int, last: int) -> list[dict[str, object]]:
    numbers: list[dict[str, object]] = [
        {"url": None, "label": "...", "active": False}
        if number is None
        else {"url": _url(path, number), "label": str(number), "active": number == page}
        for number in _numbers(page, last)
    ]
    previous: dict[str, object] = {
        "url": _url(path, page - 1) if page > 1 else None,
        "label": "« Previous",
        "active": False,
    }
    following: dict[str, object] = {
        "url": _url(path, page + 1) if page < last else None,
        "label": "Next »",
        "active": False,
    }
    return [previous, *numbers, following]


def _numbers(page: int, last: int) -> list[int | None]:
    """The page numbers shown; None stands for the dots."""
    if last < _ALL_UP_TO:
        return list(range(1, last + 1))
    if page <= _EDGE:
        return [*range(1, _EDGE + _ON_EACH_SIDE + 1), None, last - 1, last]
    if page > last - _EDGE:
        return [1, 2, None, *range(last - (_EDGE + _ON_EACH_SIDE - 1), last + 1)]
    return [1, 2, None, *range(page - _ON_EACH_SIDE, page + _ON_EACH_SIDE + 1), None, last - 1, last]
