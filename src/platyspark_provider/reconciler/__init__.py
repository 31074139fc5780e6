"""The one executor of desired state: observe, decide, apply. Everyone else only writes intent.

Called by the triggerer's loop, by the watchdog DAG, and for one app by the operator; each is enough by itself.
"""
