"""A local endpoint that speaks EMR's API and really runs `spark-submit`; for tests and the demo, loopback only.

It imports nothing else of this package, and nothing but tests and the demo imports it. Needs the `demo` extra.
"""
