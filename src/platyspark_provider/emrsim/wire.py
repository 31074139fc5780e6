"""EMR's JSON 1.1 protocol over botocore's model of the API: check requests as AWS does, check replies before they leave."""

import re
from functools import cache
from typing import Any

from botocore.loaders import Loader
from botocore.model import ListShape, MapShape, OperationModel, ServiceModel, Shape, StringShape, StructureShape

TARGET_PREFIX = "ElasticMapReduce."
# The model spells astral characters as UTF-16 surrogate pairs, in two ways; Python needs code points.
_SURROGATES = ("\\uD800\\uDC00-\\uDBFF\\uDFFF", "\\uD800\\uDBFF-\\uDC00\\uDFFF")


class EmrError(Exception):
    """An answer that is an error: AWS's code, message and HTTP status."""

    def __init__(self, code: str, message: str, *, status: int = 400, error_code: str | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.status = status
        self.error_code = error_code

    def body(self) -> dict[str, Any]:
        """Return the JSON body; InvalidRequestException spells its members with capitals."""
        if self.code == "InvalidRequestException":
            return {"__type": self.code, "ErrorCode": self.error_code or "ValidationException", "Message": self.message}
        return {"__type": self.code, "message": self.message}


class ReplyError(Exception):
    """emrsim built a reply that does not fit the API model: a bug of emrsim."""


def validation_error(message: str) -> EmrError:
    """Return the error for input that breaks a rule of the API."""
    return EmrError("ValidationException", message)


def invalid_request(message: str, error_code: str = "ValidationException") -> EmrError:
    """Return the error that the newer operations use for wrong input."""
    return EmrError("InvalidRequestException", message, error_code=error_code)


@cache
def service_model() -> ServiceModel:
    """Return botocore's model of the EMR API."""
    return ServiceModel(Loader().load_service_model("emr", "service-2"), "emr")


@cache
def operation_names() -> frozenset[str]:
    """Return every operation of the API, also those that emrsim does not serve."""
    return frozenset(service_model().operation_names)


def enum_values(shape_name: str) -> tuple[str, ...]:
    """Return the values that an enumeration of the API has."""
    shape = service_model().shape_for(shape_name)
    return tuple(shape.enum) if isinstance(shape, StringShape) else ()


def check_request(operation: str, request: Any) -> dict[str, Any]:
    """Return the request without nulls and unknown members.

    :raises EmrError: SerializationException for a wrong type, ValidationException for a broken constraint
    """
    shape = _operation(operation).input_shape
    problems: list[str] = []
    checked = {} if shape is None else _Checker(problems).check(shape, request, "")
    if problems:
        count = len(problems)
        raise validation_error(f"{count} validation error{'s' if count > 1 else ''} detected: {'; '.join(problems)}")
    return dict(checked)


def check_reply(operation: str, reply: dict[str, Any]) -> None:
    """Check a reply against the operation's output.

    :raises ReplyError: it has a wrong type, an unknown member or breaks a constraint
    """
    shape = _operation(operation).output_shape
    if shape is None:
        if reply:
            raise ReplyError(f"{operation} answers nothing, got {sorted(reply)}")
        return
    problems: list[str] = []
    try:
        _Checker(problems, refuses_unknown=True).check(shape, reply, "")
    except EmrError as error:
        raise ReplyError(f"{operation}: {error}") from error
    if problems:
        raise ReplyError(f"{operation}: {'; '.join(problems)}")


def _operation(name: str) -> OperationModel:
    return service_model().operation_model(name)


@cache
def _pattern(text: str) -> re.Pattern[str]:
    for pair in _SURROGATES:
        text = text.replace(pair, "\\U00010000-\\U0010FFFF")
    return re.compile(text)


def _json_kind(value: Any) -> str:
    if isinstance(value, bool):
        return "TRUE_VALUE" if value else "FALSE_VALUE"
    if isinstance(value, int | float):
        return "NUMBER_VALUE" if isinstance(value, int) else "DECIMAL_VALUE"
    kinds: dict[type, str] = {str: "STRING_VALUE", list: "START_ARRAY", dict: "START_OBJECT"}
    return kinds.get(type(value), "NULL_VALUE")


_PYTHON_TYPES: dict[str, tuple[type, str]] = {
    "string": (str, "String"),
    "boolean": (bool, "Boolean"),
    "integer": (int, "Integer"),
    "long": (int, "Long"),
    "double": (float, "Double"),
    "float": (float, "Float"),
    "timestamp": (float, "Timestamp"),
    "structure": (dict, "Object"),
    "map": (dict, "Map"),
    "list": (list, "List"),
}


class _Checker:
    """Walk a value along its shape; problems are worded as AWS words them, wrong types end the walk."""

    def __init__(self, problems: list[str], *, refuses_unknown: bool = False) -> None:
        self._problems = problems
        self._refuses_unknown = refuses_unknown

    def check(self, shape: Shape, value: Any, path: str) -> Any:
        self._check_type(shape, value)
        if isinstance(shape, StructureShape):
            return self._check_structure(shape, value, path)
        if isinstance(shape, ListShape):
            self._check_bounds(shape, len(value), value, path, "length")
            return [self.check(shape.member, item, f"{path}.{index}.member") for index, item in enumerate(value, 1)]
        if isinstance(shape, MapShape):
            return {name: self.check(shape.value, item, f"{path}.{name}.member") for name, item in value.items() if item is not None}
        if isinstance(shape, StringShape):
            self._check_string(shape, value, path)
        elif shape.type_name in {"integer", "long", "float", "double"}:
            self._check_bounds(shape, value, value, path, "value")
        return value

    def _check_type(self, shape: Shape, value: Any) -> None:
        wanted, name = _PYTHON_TYPES[shape.type_name]
        fits = isinstance(value, int | float) if wanted is float else isinstance(value, wanted)
        if not fits or (isinstance(value, bool) and wanted is not bool):
            raise EmrError("SerializationException", f"{_json_kind(value)} can not be converted to a {name}")

    def _check_structure(self, shape: StructureShape, value: dict[str, Any], path: str) -> dict[str, Any]:
        prefix = f"{path}." if path else ""
        checked = {}
        if self._refuses_unknown and not value.keys() <= shape.members.keys():
            self._problems.append(f"'{path}' has no members {sorted(value.keys() - shape.members.keys())}")
        for name, member in shape.members.items():
            here = prefix + name[0].lower() + name[1:]
            if value.get(name) is not None:
                checked[name] = self.check(member, value[name], here)
            elif name in shape.required_members:
                self._problems.append(f"Value null at '{here}' failed to satisfy constraint: Member must not be null")
        return checked

    def _check_string(self, shape: StringShape, value: str, path: str) -> None:
        self._check_bounds(shape, len(value), value, path, "length")
        if shape.enum and value not in shape.enum:
            self._add(value, path, f"satisfy enum value set: [{', '.join(shape.enum)}]")
        pattern = shape.metadata.get("pattern")
        if pattern and not _pattern(pattern).fullmatch(value):
            self._add(value, path, f"satisfy regular expression pattern: {pattern}")

    def _check_bounds(self, shape: Shape, size: float, value: Any, path: str, what: str) -> None:
        if size < shape.metadata.get("min", size):
            self._add(value, path, f"have {what} greater than or equal to {shape.metadata['min']}")
        if size > shape.metadata.get("max", size):
            self._add(value, path, f"have {what} less than or equal to {shape.metadata['max']}")

    def _add(self, value: Any, path: str, constraint: str) -> None:
        self._problems.append(f"Value '{value}' at '{path}' failed to satisfy constraint: Member must {constraint}")
