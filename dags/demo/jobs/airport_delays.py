"""How many flights of one airport left late in 2013: `airport_delays.py SOURCE AIRPORT` reads flights.csv.gz and reports two numbers."""

import json
import sys

from pyspark.sql import SparkSession
from pyspark.sql import functions as f

source, airport = sys.argv[1].rstrip("/"), sys.argv[2]
spark = SparkSession.builder.getOrCreate()
flights = spark.read.csv(f"{source}/flights.csv.gz", header=True, nullValue="NA").where(f.col("origin") == airport)
counts = flights.agg(f.count("*").alias("flights"), f.count_if(f.col("dep_delay").cast("int") > 15).alias("late")).first()
assert counts is not None
print("platyspark-result: " + json.dumps({"flights": counts["flights"], "late": counts["late"]}), flush=True)
spark.stop()
