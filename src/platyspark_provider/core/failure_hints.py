"""What to do about a failure, by Spark's error class or by what the error says; a table and its lookup, pure."""

import re

_QUOTED = re.compile(r"value '([^']*)'")
_SUGGESTED = re.compile(r"Did you mean one of the following\? \[([^\]]+)\]")
_MODULE = re.compile(r"No module named '([^'.]+)")

# Stems of Spark's error classes: a subclass (`UNRESOLVED_COLUMN.WITH_SUGGESTION`) takes its parent's hint.
_BY_ERROR_CLASS = {
    "CAST_INVALID_INPUT": 'spark.read.csv(..., nullValue="{value}") or try_cast',
    "CAST_OVERFLOW": "cast to a wider type, or use try_cast",
    "ARITHMETIC_OVERFLOW": "use a wider type, or try_add, try_subtract, try_multiply",
    "DIVIDE_BY_ZERO": "use try_divide, or filter the zero divisors out",
    "REMAINDER_BY_ZERO": "use try_mod, or filter the zero divisors out",
    "INVALID_ARRAY_INDEX": "use try_element_at or get()",
    "INVALID_ARRAY_INDEX_IN_ELEMENT_AT": "use try_element_at",
    "CANNOT_PARSE_TIMESTAMP": "give the format, or use try_to_timestamp",
    "UNRESOLVED_COLUMN": "{suggestion}check the column's name with printSchema()",
    "FIELD_NOT_FOUND": "check the field's name with printSchema()",
    "AMBIGUOUS_REFERENCE": "give the joined sides an alias and qualify the column",
    "TABLE_OR_VIEW_NOT_FOUND": "check catalog, schema and name; does an earlier task create the table?",
    "SCHEMA_NOT_FOUND": "check catalog and schema; does an earlier task create it?",
    "TABLE_OR_VIEW_ALREADY_EXISTS": "use CREATE OR REPLACE, IF NOT EXISTS or mode('overwrite')",
    "PATH_NOT_FOUND": "check the path and the date in it; has the task that writes it run?",
    "PATH_ALREADY_EXISTS": "write with mode('overwrite') or mode('append'), or to another path",
    "UNABLE_TO_INFER_SCHEMA": "the path holds no data files; check it, or give a schema",
    "FAILED_READ_FILE": "a file was changed or is broken; REFRESH TABLE, or look at the file",
    "DATA_SOURCE_NOT_FOUND": "add the data source's jar with packages= or jars=",
    "PARSE_SYNTAX_ERROR": "the SQL has a syntax error at the position shown",
    "UNRESOLVED_ROUTINE": "check the function's name; is its UDF registered?",
    "DATATYPE_MISMATCH": "cast the argument to the type that the function takes",
    "INVALID_DRIVER_MEMORY": "raise spark.driver.memory",
    "UNABLE_TO_ACQUIRE_MEMORY": "raise spark.executor.memory, or use more and smaller partitions",
    "MERGE_CARDINALITY_VIOLATION": "deduplicate the source on the merge key",
}
_BY_TEXT: tuple[tuple[re.Pattern[str], str], ...] = (
    (
        re.compile(r"ModuleNotFoundError|No module named"),
        "the driver has no module {module}: ship it with py_files=, or install it in the python_env",
    ),
    (
        re.compile(r"Failed to load class|ClassNotFoundException|NoClassDefFoundError"),
        "check main_class, and add the jar with jars= or packages=",
    ),
    (
        re.compile(r"NoSuchMethodError|IncompatibleClassChangeError|AbstractMethodError"),
        "a jar was built for another Spark or Scala version",
    ),
    (
        re.compile(r"exceeding (?:physical )?memory limits|Exit status: 137|exit code 137"),
        "raise spark.executor.memoryOverhead or spark.executor.memory, or use more partitions",
    ),
    (
        re.compile(r"OutOfMemoryError|MemoryError"),
        "raise spark.driver.memory or spark.executor.memory, collect less to the driver, or use more partitions",
    ),
    (re.compile(r"maxResultSize"), "collect less to the driver, or raise spark.driver.maxResultSize"),
    (re.compile(r"No space left on device"), "the nodes' disks are full: use more partitions or nodes with larger disks"),
    (
        re.compile(r"AccessDenied|Access Denied|AccessDeniedException|Status Code: 403|403 Forbidden"),
        "the cluster's role may not do this: ask the platform team for the bucket or the key",
    ),
    (re.compile(r"NoSuchBucket|bucket does not exist", re.IGNORECASE), "the bucket does not exist; check its name"),
    (re.compile(r'No FileSystem for scheme "?s3'), "this cluster has no S3 file system; try s3a://, or add hadoop-aws"),
    (re.compile(r"FileNotFoundError|FileNotFoundException"), "ship the file with files=, or read it from s3://"),
    (re.compile(r"SyntaxError|IndentationError|TabError"), "the file is no valid Python of the cluster's version"),
    (
        re.compile(r"ConcurrentModificationException|CommitFailedException|ConcurrentAppendException"),
        "another job wrote the same table; a retry may do",
    ),
)


def hint_for(error_class: str | None, text: str) -> str | None:
    """Return advice for an error; None where we have none.

    :param text: the error's own text, not the whole log: a log is full of errors that Spark got over.
    """
    template = _template(error_class, text)
    if template is None:
        return None
    value, names, module = _QUOTED.search(text), _SUGGESTED.search(text), _MODULE.search(text)
    return template.format(
        value=value[1] if value else "...",
        suggestion=f"did you mean {names[1]}? " if names else "",
        module=module[1] if module else "of this name",
    )


def _template(error_class: str | None, text: str) -> str | None:
    stem = (error_class or "").partition(".")[0]
    if stem in _BY_ERROR_CLASS:
        return _BY_ERROR_CLASS[stem]
    return next((hint for pattern, hint in _BY_TEXT if pattern.search(text)), None)
