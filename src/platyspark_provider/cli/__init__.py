"""The command line, `airflow platyspark ...`: uses the database directly. Only `definition` is imported before a command runs."""
