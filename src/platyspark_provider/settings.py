"""The `[platyspark]` section of Airflow's configuration as one frozen value; read inside functions, never at import.

`provider_info.py` describes each option; a test holds both to the same names and defaults.
"""

from dataclasses import dataclass, fields
from pathlib import Path

from platyspark_provider.core.records import Policy

SECTION = "platyspark"


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """All options; times in seconds.

    :param profiles_file: absolute path of profiles.yaml; empty means built-in defaults. Read by the api-server alone.
    :param artifacts: S3 prefix for local files where profiles.yaml names none; empty refuses local files.
    """

    profiles_file: str = ""
    artifacts: str = ""
    environment: str = "default"
    poll_interval: float = 10.0
    api_timeout: float = 30.0
    kill_timeout: float = 3.0
    busy_patience: float = 60.0
    submit_patience: float = 600.0
    max_blind: float = 0.0
    log_wait: float = 120.0
    log_deadline: float = 1800.0
    settle_window: float = 300.0
    settle_gap: float = 5.0
    lease: float = 120.0
    stop_grace: float = 60.0
    start_deadline: float = 1500.0

    def policy(self) -> Policy:
        """Return the numbers that decisions use."""
        return Policy(
            settle_s=self.settle_window,
            settle_gap_s=self.settle_gap,
            lease_s=self.lease,
            log_deadline_s=self.log_deadline,
            stop_grace_s=self.stop_grace,
            start_deadline_s=self.start_deadline,
        )


def load_settings() -> Settings:
    """Return the settings of this process; a relative `profiles_file` starts at AIRFLOW_HOME."""
    from airflow.configuration import AIRFLOW_HOME, conf

    values: dict[str, str | float] = {}
    for option in fields(Settings):
        if isinstance(option.default, float):
            values[option.name] = conf.getfloat(SECTION, option.name, fallback=option.default)
        else:
            values[option.name] = conf.get(SECTION, option.name, fallback=option.default) or ""
    path = str(values["profiles_file"])
    if path:
        values["profiles_file"] = str(Path(AIRFLOW_HOME) / Path(path).expanduser())
    return Settings(**values)  # type: ignore[arg-type]
