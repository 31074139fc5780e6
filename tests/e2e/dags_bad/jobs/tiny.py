"""Ends at once, without a Spark session."""

print("tiny")
