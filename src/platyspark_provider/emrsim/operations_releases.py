"""EMR's operations on releases: which labels there are and the Spark and Hadoop in them."""

import re
from typing import Any

from platyspark_provider.emrsim.calls import Call
from platyspark_provider.emrsim.paging import decode_marker, encode_marker
from platyspark_provider.emrsim.wire import invalid_request

# Newest first; from "Spark release history" and "Hadoop release history" of the EMR Release Guide.
RELEASES: dict[str, dict[str, str]] = {
    "emr-spark-8.0.0": {"spark": "4.0.2"},
    "emr-7.13.0": {"spark": "3.5.6", "hadoop": "3.4.2"},
    "emr-7.12.0": {"spark": "3.5.6", "hadoop": "3.4.1"},
    "emr-7.11.0": {"spark": "3.5.6", "hadoop": "3.4.1"},
    "emr-7.10.0": {"spark": "3.5.5", "hadoop": "3.4.1"},
    "emr-7.9.0": {"spark": "3.5.5", "hadoop": "3.4.1"},
    "emr-7.8.0": {"spark": "3.5.4", "hadoop": "3.4.1"},
    "emr-7.7.0": {"spark": "3.5.3", "hadoop": "3.4.0"},
    "emr-7.6.0": {"spark": "3.5.3", "hadoop": "3.4.0"},
    "emr-7.5.0": {"spark": "3.5.2", "hadoop": "3.4.0"},
    "emr-7.4.0": {"spark": "3.5.2", "hadoop": "3.4.0"},
    "emr-7.3.0": {"spark": "3.5.1", "hadoop": "3.3.6"},
    "emr-7.2.0": {"spark": "3.5.1", "hadoop": "3.3.6"},
    "emr-7.1.0": {"spark": "3.5.0", "hadoop": "3.3.6"},
    "emr-7.0.0": {"spark": "3.5.0", "hadoop": "3.3.6"},
    "emr-6.15.0": {"spark": "3.4.1"},
    "emr-6.14.0": {"spark": "3.4.1"},
    "emr-6.13.0": {"spark": "3.4.1"},
    "emr-6.12.0": {"spark": "3.4.0"},
    "emr-6.11.1": {"spark": "3.3.2"},
    "emr-6.11.0": {"spark": "3.3.2"},
}
MAX_RESULTS = 100
_APPLICATION = re.compile(r"([A-Za-z]+)(?:[@-](.+))?")


def list_release_labels(call: Call) -> dict[str, Any]:
    """Show a page of release labels, newest first."""
    filters, token = call.request.get("Filters", {}), call.request.get("NextToken")
    prefix, application = filters.get("Prefix", ""), filters.get("Application")
    found = [label for label in RELEASES if label.startswith(prefix) and (application is None or _has(label, application))]
    start = 0 if token is None else _start(token)
    end = start + _checked_size(call.request.get("MaxResults", MAX_RESULTS))
    reply: dict[str, Any] = {"ReleaseLabels": found[start:end]}
    return {**reply, "NextToken": encode_marker(f"{end}")} if end < len(found) else reply


def _has(label: str, application: str) -> bool:
    """Tell whether a release has an application: `spark`, or `spark@3.5.6` for one version."""
    asked = _APPLICATION.fullmatch(application)
    if asked is None:
        raise invalid_request(f"Application '{application}' is not valid. Write a name, or name and version such as spark@3.5.6.")
    version = RELEASES[label].get(asked[1].lower())
    return version is not None and asked[2] in {None, version}


def _start(token: str) -> int:
    place = decode_marker(token, "NextToken")
    if not place.isdecimal():
        raise invalid_request(f"NextToken '{token}' is not valid.")
    return int(place)


def _checked_size(size: int) -> int:
    if not 1 <= size <= MAX_RESULTS:
        raise invalid_request(f"MaxResults must be between 1 and {MAX_RESULTS}.")
    return size


def describe_release_label(call: Call) -> dict[str, Any]:
    """Show what is in a release, the newest of EMR 7 unless one is named."""
    label = call.request.get("ReleaseLabel") or next(one for one in RELEASES if one.startswith("emr-7."))
    if label not in RELEASES:
        raise invalid_request(f"Release label '{label}' is not valid.")
    names = {"spark": "Spark", "hadoop": "Hadoop"}
    applications = [{"Name": names[name], "Version": version} for name, version in RELEASES[label].items()]
    return {"ReleaseLabel": label, "Applications": applications}
