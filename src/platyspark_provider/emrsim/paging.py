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
        last = decode_marker(marker, "Marker")
        start = next((index for index, item in enumerate(items) if key(item) > last), len(items))
    chunk = items[start : start + PAGE]
    more = start + PAGE < len(items)
    return chunk, encode_marker(key(chunk[-1])) if more else None


def encode_marker(key: str) -> str:
    """Return a key as callers see it."""
    return base64.urlsafe_b64encode(f"v1:{key}".encode()).decode()


def decode_marker(marker: str, member: str) -> str:
    """Return the key of a marker that a caller gave back.

    :raises EmrError: InvalidRequestException naming the member, for a text that is no marker
    """
    try:
        version, _, key = base64.urlsafe_b64decode(marker.encode()).decode().partition(":")
    except (binascii.Error, UnicodeError):
        version, key = "", ""
    if version != "v1":
        raise invalid_request(f"{member} '{marker}' is not valid.")
    return key
