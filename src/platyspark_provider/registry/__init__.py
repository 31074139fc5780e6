"""The rules of what the outside may ask, over a store: identity, governance, ownership. Runs in the api-server and the CLI."""
