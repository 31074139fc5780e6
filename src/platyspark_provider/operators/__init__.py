"""What DAG authors write. Building an operator reads no setting and no connection; importing one stays light."""
