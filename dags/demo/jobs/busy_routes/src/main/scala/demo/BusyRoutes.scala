package demo

import org.apache.spark.sql.SparkSession
import org.apache.spark.sql.functions.{avg, col, count, desc, lit, round}

/** Counts the flights of each route of 2013 and writes the routes, busiest first.
  *
  * Arguments: folder with flights.csv.gz, folder to write, smallest number of flights that counts.
  */
object BusyRoutes {
  def main(args: Array[String]): Unit = {
    val Array(data, output, least) = args
    val spark = SparkSession.builder().getOrCreate()
    val flights = spark.read.option("header", "true").option("nullValue", "NA").csv(s"$data/flights.csv.gz")
    val routes = flights
      .groupBy(col("origin"), col("dest"))
      .agg(count(lit(1)).as("flights"), round(avg(col("air_time").cast("double")), 1).as("mean_air_time"))
      .where(col("flights") >= least.toLong)
      .orderBy(desc("flights"))
      .coalesce(1)
      .cache()
    routes.write.mode("overwrite").parquet(output)
    val rows = routes.count()
    val busiest = routes.head()
    println(s"""platyspark-result: {"rows": $rows, "busiest_route": "${busiest.getString(0)}-${busiest.getString(1)}", "flights": ${busiest.getLong(2)}}""")
    spark.stop()
  }
}
