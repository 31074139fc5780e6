"""The SQL of a task: a statement as it stands, or a templated `.sql` file beside the DAG.

Not Airflow's `template_ext`: that replaces every argument that ends in `.sql` by the file's content, so that `files=["a.sql"]`
would lose the name of its file.
"""

from typing import TYPE_CHECKING, Any

from platyspark_provider.errors import ArtifactMissing, InvalidRequest

if TYPE_CHECKING:
    from airflow.sdk import BaseOperator, Context

SUFFIX = ".sql"


def is_file(sql: Any) -> bool:
    """Tell whether `sql=` names a file; a statement never ends so."""
    return isinstance(sql, str) and sql.endswith(SUFFIX) and len(sql.split()) == 1


def source_of(task: "BaseOperator", name: str) -> str | None:
    """Return a file's text, templates as they are; None where there is no such file."""
    from jinja2 import TemplateNotFound

    env = task.get_template_env()
    if env.loader is None:
        return None
    try:
        return env.loader.get_source(env, name)[0]
    except (TemplateNotFound, OSError, UnicodeDecodeError):
        return None


def statement_of(task: "BaseOperator", sql: Any, context: "Context") -> Any:
    """Return the (rendered) statement; a file that was not read when the DAG was parsed is read and rendered now.

    :raises ArtifactMissing: there is no such file. :raises InvalidRequest: an address, whose templates nobody would render.
    """
    if not is_file(sql):
        return sql
    if "://" in sql:
        raise InvalidRequest(f"sql is {sql!r}: an address.", hint="Put the .sql file beside the DAG, or pass its text.", field="sql")
    source = source_of(task, sql)
    if source is None:
        raise ArtifactMissing(
            f"sql is {sql!r}: no such text file in {', '.join(_folders(task)) or 'any folder'}.",
            hint="A .sql file's path starts at the folder of the DAG file, or at one of the DAG's template_searchpath.",
            field="sql",
        )
    return task.render_template(source, context, task.get_template_env())


def _folders(task: "BaseOperator") -> list[str]:
    return [str(folder) for folder in getattr(task.get_template_env().loader, "searchpath", ())]
