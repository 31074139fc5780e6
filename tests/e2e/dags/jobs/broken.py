"""Fails by its own fault: a cast that ANSI mode refuses."""

from pyspark.sql import SparkSession

spark = SparkSession.builder.getOrCreate()
frame = spark.createDataFrame([("12",), ("NA",)], "delay string")
frame.selectExpr("cast(delay AS double) AS delay").collect()
