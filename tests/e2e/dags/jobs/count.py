"""Counts a range with real Spark and prints the sum."""

import sys

from pyspark.sql import SparkSession

spark = SparkSession.builder.getOrCreate()
total = spark.range(int(sys.argv[1])).selectExpr("sum(id) AS total").first().total
print(f"total={total}")
