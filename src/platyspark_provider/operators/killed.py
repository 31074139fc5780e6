"""`TaskKilled`: how a task's process leaves after `on_kill`; alone here, since a signal handler should import nothing."""


class TaskKilled(BaseException):
    """The task's process was told to end.

    No `Exception`: the executor's guards around single items would take it for a failed item and go on sending. Airflow
    treats it like any failure of a try.
    """
