"""Who called: the access key, region and service that a request's signature names; signatures themselves are not checked."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs

_SCOPE = re.compile(r"(?P<key>[^/,\s=]+)/\d{8}/(?P<region>[a-z0-9-]+)/(?P<service>[a-z0-9-]+)/aws4_request")
_VERSION_2 = re.compile(r"AWS (?P<key>[^:\s]+):")


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """What a signature says of its request; region and service are None for Signature Version 2."""

    access_key: str
    region: str | None
    service: str | None


def caller_of(environ: Mapping[str, Any]) -> Caller | None:
    """Return who signed a request, in the header or in the query of a presigned URL; None if nobody did."""
    header = environ.get("HTTP_AUTHORIZATION", "")
    found = _SCOPE.search(header)
    if found is None and "X-Amz-Credential" in environ.get("QUERY_STRING", ""):
        found = _SCOPE.search("".join(parse_qs(environ["QUERY_STRING"]).get("X-Amz-Credential", [])))
    if found is not None:
        return Caller(access_key=found["key"], region=found["region"], service=found["service"])
    old = _VERSION_2.match(header)
    return None if old is None else Caller(access_key=old["key"], region=None, service=None)
