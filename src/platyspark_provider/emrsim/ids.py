"""Make identifiers in the forms AWS uses."""

import secrets
import string

_ALPHABET = string.ascii_uppercase + string.digits
ACCOUNT_ID = "123456789012"


def _random(length: int) -> str:
    return "".join(secrets.choice(_ALPHABET) for _ in range(length))


def new_cluster_id() -> str:
    """Return an id like `j-2AXXXXXXGAPLF`."""
    return f"j-{_random(13)}"


def new_step_id() -> str:
    """Return an id like `s-0123456789ABCDEFGHIJ`; launchers match `^s-[0-9A-Z]{20}$`."""
    return f"s-{_random(20)}"


def new_persistent_ui_id() -> str:
    """Return an id like `p-2EUVXXXXXXXXX`."""
    return f"p-{_random(13)}"


def new_instance_group_id() -> str:
    """Return an id like `ig-2EUVXXXXXXXXX`."""
    return f"ig-{_random(13)}"


def new_instance_fleet_id() -> str:
    """Return an id like `if-2EUVXXXXXXXXX`."""
    return f"if-{_random(13)}"


def new_instance_id() -> str:
    """Return EMR's own id of an instance, like `ci-10U8ZXXXXXXXX`."""
    return f"ci-{_random(13)}"


def new_ec2_instance_id() -> str:
    """Return EC2's id of an instance."""
    return f"i-{secrets.token_hex(8)}f"


def cluster_arn(region: str, cluster_id: str) -> str:
    """Return the ARN of a cluster in the account that emrsim plays."""
    return f"arn:aws:elasticmapreduce:{region}:{ACCOUNT_ID}:cluster/{cluster_id}"
