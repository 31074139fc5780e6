"""The same data read by someone in a hurry: no `nullValue`, so the delay of a cancelled flight is the text NA.

`flight_delays_broken.py SOURCE TARGET`. Spark 4 refuses the cast; the cure is the reader's option `nullValue="NA"`.
"""

import sys

from pyspark.sql import SparkSession

source, target = sys.argv[1].rstrip("/"), sys.argv[2].rstrip("/")
spark = SparkSession.builder.getOrCreate()

flights = spark.read.csv(f"{source}/flights.csv.gz", header=True)
late = flights.selectExpr("carrier", "cast(dep_delay AS double) AS delay").groupBy("carrier").avg("delay")
late.coalesce(1).write.mode("overwrite").parquet(f"{target}/late")
spark.stop()
