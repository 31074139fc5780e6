"""Programs of ours that run on the cluster: each file stands alone (Python 3.9, Spark 3.5 and 4.x, nothing of this package)."""
