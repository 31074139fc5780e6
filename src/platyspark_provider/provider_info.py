"""What Airflow is told about this provider. Imports nothing: every process runs it, and an error here would break all of Airflow."""

_ANY = dict[str, object]


def get_provider_info() -> _ANY:
    """Return the provider's metadata (schema: `airflow/provider_info.schema.json`)."""
    return {
        "package-name": "platyspark-provider",
        "name": "PlatySpark",
        "description": "Spark as a service inside Apache Airflow: one operator, one plugin, no service beside Airflow.",
        "integrations": [
            {"integration-name": "PlatySpark", "external-doc-url": "https://spark.apache.org/docs/latest/", "tags": ["service"]}
        ],
        "operators": _modules("operators.spark_app", "operators.spark_cluster", "operators.observer", "operators.watchdog"),
        "triggers": _modules("triggers.app", "triggers.cluster", "triggers.observer"),
        "hooks": _modules("hooks.platyspark"),
        "db-managers": ["platyspark_provider.store.db_manager.PlatySparkDBManager"],
        "plugins": [{"name": "platyspark", "plugin-class": "platyspark_provider.plugin.plugin.PlatySparkPlugin"}],
        "cli": ["platyspark_provider.cli.definition.get_cli_commands"],
        "extra-links": [
            "platyspark_provider.operators.links.PlatySparkAppLink",
            "platyspark_provider.operators.links.PlatySparkLogLink",
        ],
        "connection-types": [_connection_type()],
        "config": {"platyspark": {"description": "Settings of PlatySpark.", "options": _options()}},
    }


def _modules(*names: str) -> list[_ANY]:
    return [{"integration-name": "PlatySpark", "python-modules": [f"platyspark_provider.{name}" for name in names]}]


def _connection_type() -> _ANY:
    return {
        "connection-type": "platyspark",
        "hook-name": "PlatySpark",
        "hook-class-name": "platyspark_provider.hooks.platyspark.PlatySparkHook",
        "ui-field-behaviour": {
            "hidden-fields": ["login"],
            "relabeling": {"host": "API server", "password": "Token", "schema": "http or https"},
            "placeholders": {
                "host": "http://airflow-api:8080 (empty: [api] base_url)",
                "password": "airflow platyspark tokens create workers --scopes worker,reconciler",
            },
        },
        "conn-fields": {
            "verify_tls": {
                "label": "Verify TLS",
                "description": "Check the api-server's certificate.",
                "schema": {"type": "boolean", "default": True},
            }
        },
    }


def _options() -> _ANY:
    return {
        "profiles_file": _text(
            "",
            "Path of profiles.yaml (targets, profiles, policies); relative paths start at AIRFLOW_HOME. Empty: one built-in "
            "profile `shared` on the target `default`. Read by the api-server alone, again when the file changes.",
            "/opt/airflow/profiles.yaml",
        ),
        "artifacts": _text(
            "",
            "S3 prefix to which local files of applications are uploaded, where profiles.yaml names none. Empty: only files "
            "that have an address can be used.",
            "s3://company-spark/artifacts",
        ),
        "environment": _text("default", "Name of this environment, part of every cluster's name, where profiles.yaml names none.", "prod"),
        "poll_interval": _seconds(
            10.0, "Time from one look at all applications to the next, in a triggerer. Cost does not grow with tasks."
        ),
        "api_timeout": _seconds(30.0, "How long a worker waits for one answer of the api-server."),
        "kill_timeout": _seconds(3.0, "How long a killed task tries to say so; Airflow ends its process after 5 seconds."),
        "busy_patience": _seconds(60.0, "How long a locked database (SQLite) is asked again before a call fails."),
        "submit_patience": _seconds(600.0, "How long a task that submits waits for an api-server that can't be reached."),
        "max_blind": _seconds(0.0, "How long a deferred task waits without reaching the api-server before it fails; 0: for ever."),
        "log_wait": _seconds(
            120.0, "How long a task waits for the driver's log: after a failure to show its cause, after a success for `sql` and `metrics`."
        ),
        "log_deadline": _seconds(1800.0, "How long after the end the driver's log is looked for."),
        "settle_window": _seconds(
            300.0,
            "Time after a lost reply until sending again is safe: read timeout, lag of the backend's listing, and a margin. "
            "Lowering it risks a second run.",
        ),
        "settle_gap": _seconds(5.0, "Least time between two listings that count as two."),
        "lease": _seconds(120.0, "How long a claim on an application or cluster holds if its holder dies."),
        "stop_grace": _seconds(60.0, "Time from one means of stopping an application to the next, harder one."),
        "start_deadline": _seconds(1500.0, "How long a cluster may take to start before it is terminated and another one is created."),
    }


def _text(default: str, description: str, example: str) -> _ANY:
    return {"description": description, "version_added": "0.1.0", "type": "string", "example": example, "default": default}


def _seconds(default: float, description: str) -> _ANY:
    return {
        "description": f"{description} In seconds.",
        "version_added": "0.1.0",
        "type": "float",
        "example": None,
        "default": f"{default:g}",
    }
