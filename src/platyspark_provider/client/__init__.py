"""The worker API's wire and its client; knows HTTP and the values of `core`, nothing of tables or of Airflow."""
