"""Brings an application's files to where its driver finds them: hashing, uploading by content, looking.

Called by operators in workers, with the target's S3 client; knows neither Airflow nor our tables.
"""
