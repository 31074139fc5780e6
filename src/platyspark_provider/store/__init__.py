"""Our tables: one folder for all that touches the database. Values out, never rows; rules live in `core`."""
