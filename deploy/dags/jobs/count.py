"""Count to a number with Spark."""

import sys

from pyspark.sql import SparkSession

spark = SparkSession.builder.getOrCreate()
spark.range(int(sys.argv[1])).selectExpr("count(*) AS rows").show()
