"""Do something at an instant of a run: as the platform is asked for a page.

In:   which request, what to do.  Out: a hook for the platform.
"""

from collections.abc import Callable

from harvester.demo.server import Platform, Seen


def at_request(number: int, do: Callable[[], None]) -> Callable[[Platform, Seen], None]:
    """Return what does something as a request for a page comes in, the one with this number, once."""
    seen = [0]

    def on_request(platform: Platform, request: Seen) -> None:
        seen[0] += 1
        if seen[0] == number:
            do()

    return on_request
