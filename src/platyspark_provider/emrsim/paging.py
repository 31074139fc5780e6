"""Pages of 50 with an opaque marker."""

import base64
import binascii
from collections.abc import Callable, Sequence
from typing import TypeVar

from platyspark_provider.emrsim.wire import invalid_request

PAGE = 50

Item = TypeVar("Item")


def page(items: Sequence[Item], marker: str | None, key: Callable[[Item], str]) -> tuple[Sequence[Item], str | None]:
    """Return the 50 items after the marker's and the next marker, None at the end.

    The marker is the sort key of the last item shown, so that items that come or go between two calls move no other item.

    :param items: in the order of the listing
    :param key: a text that sorts as the listing does
    """
    start = 0
    if marker is not None:
        last = _decode(marker)
        start = next((index for index, item in enumerate(items) if key(item) > last), len(items))
    chunk = items[start : start + PAGE]
    more = start + PAGE < len(items)
    return chunk, _encode(key(chunk[-1])) if more else None


def _encode(key: str) -> str:
    return base64.urlsafe_b64encode(f"v1:{key}".encode()).decode()


def _decode(marker: str) -> str:
    try:
        version, _, key = base64.urlsafe_b64decode(marker.encode()).decode().partition(":")
    except (binascii.Error, UnicodeError):
        version, key = "", ""
    if version != "v1":
        raise invalid_request(f"Marker '{marker}' is not valid.")
    return key
