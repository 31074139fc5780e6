"""What waits in the triggerer: one shared snapshot loop for all waiting tasks, and a pass beside it.

Nothing here blocks the event loop; imports of operators never reach this package at parse time.
"""
