"""Connections turned into what the layers below need: registry clients, backends, notifiers; no rules here.

Operators import these modules, so nothing heavy (boto3, the amazon provider) is loaded before a client is asked for.
"""
