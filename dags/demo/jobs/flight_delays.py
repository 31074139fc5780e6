"""Which airline is late, on which plane, in what weather: joins the year 2013 of New York's airports.

`flight_delays.py SOURCE TARGET`: reads flights.csv.gz, weather.csv, planes.csv, airlines.csv and airports.csv under SOURCE, writes
parquet partitioned by month and a one-line summary (JSON) to TARGET.
"""

import json
import sys

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as f

source, target = sys.argv[1].rstrip("/"), sys.argv[2].rstrip("/")
spark = SparkSession.builder.getOrCreate()


def table(name: str, schema: str) -> DataFrame:
    """Read one file; a missing value is written NA in it."""
    return spark.read.csv(f"{source}/{name}", header=True, schema=schema, nullValue="NA")


flights = table(
    "flights.csv.gz",
    "year INT, month INT, day INT, dep_time INT, sched_dep_time INT, dep_delay DOUBLE, arr_time INT, sched_arr_time INT, arr_delay DOUBLE, "
    "carrier STRING, flight INT, tailnum STRING, origin STRING, dest STRING, air_time DOUBLE, distance DOUBLE, hour INT, minute INT, "
    "time_hour STRING",
).repartition(4)  # one gzip file is one partition: everything after it would run on one core
weather = table(
    "weather.csv",
    "origin STRING, year INT, month INT, day INT, hour INT, temp DOUBLE, dewp DOUBLE, humid DOUBLE, wind_dir DOUBLE, wind_speed DOUBLE, "
    "wind_gust DOUBLE, precip DOUBLE, pressure DOUBLE, visib DOUBLE, time_hour STRING",
).select("origin", "month", "day", "hour", "precip", "visib")
planes = table(
    "planes.csv",
    "tailnum STRING, year INT, type STRING, manufacturer STRING, model STRING, engines INT, seats INT, speed INT, engine STRING",
).select("tailnum", f.col("year").alias("built"))
airlines = table("airlines.csv", "carrier STRING, name STRING").withColumnRenamed("name", "airline")
airports = table("airports.csv", "faa STRING, name STRING, lat DOUBLE, lon DOUBLE, alt INT, tz INT, dst STRING, tzone STRING").select(
    f.col("faa").alias("dest"), f.col("name").alias("destination")
)

joined = (
    flights.join(weather, ["origin", "month", "day", "hour"], "left")
    .join(planes, "tailnum", "left")
    .join(airlines, "carrier")
    .join(airports, "dest", "left")
    .cache()
)
delays = joined.groupBy("month", "airline").agg(
    f.count("*").alias("flights"),
    f.count_if(f.col("dep_delay").isNull()).alias("cancelled"),
    f.round(f.avg("dep_delay"), 1).alias("delay_min"),
    f.round(f.avg(f.when(f.col("precip") > 0, f.col("dep_delay"))), 1).alias("delay_in_rain_min"),
    f.round(f.avg(2013 - f.col("built")), 1).alias("plane_age_years"),
    f.count_distinct("destination").alias("destinations"),
)

read = joined.count()
print(f"read {read:,} flights", flush=True)
delays.coalesce(1).write.mode("overwrite").partitionBy("month").parquet(f"{target}/delays")
rows = spark.read.parquet(f"{target}/delays").count()
summary = json.dumps({"flights": read, "rows": rows})
spark.range(1).select(f.lit(summary).alias("value")).coalesce(1).write.mode("overwrite").text(f"{target}/summary")
print(f"wrote {rows:,} rows to {target}/delays", flush=True)
spark.stop()
