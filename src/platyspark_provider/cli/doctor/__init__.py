"""`airflow platyspark doctor`: checks that each stand alone and say what was found and how to mend it. They change nothing."""
