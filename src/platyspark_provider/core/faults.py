"""Finds the error that ended a driver in its log: a Python traceback, a Java exception, or Spark's own words; pure."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

_TRACEBACK = "Traceback (most recent call last):"
_FRAME = re.compile(r'^\s+File "(?P<file>[^"]+)", line (?P<line>\d+)')
_RAISED = re.compile(r"^(?P<type>[A-Za-z_][\w.]*)(?:: ?(?P<message>.*))?$")
_UNPARSED = re.compile(r"^(?:SyntaxError|IndentationError|TabError): ")
_LIBRARY = re.compile(r"site-packages|dist-packages|pyspark\.zip|py4j|/pyspark/|/lib(?:64)?/python\d|^<")
_ERROR_CLASS = re.compile(
    r"\[(?P<name>[A-Z][A-Z0-9_]*(?:\.[A-Z0-9_]+)*)\] (?P<text>.*?)(?:\s*SQLSTATE: (?P<state>[0-9A-Z]{5})|$)", re.DOTALL
)
_LOGGED_CLASS = re.compile(r"\[(?P<name>[A-Z][A-Z0-9_.]*)\] (?P<text>[^\n]{1,600}?)\s*SQLSTATE: (?P<state>[0-9A-Z]{5})")
_JAVA = re.compile(r'^(?:Exception in thread "[^"]*" |.*User class threw exception: )(?P<raised>[\w.$]+(?:: .*)?)$', re.MULTILINE)
_JAVA_OF_PY4J = re.compile(r"^: (?P<raised>[\w.$]+(?:: .*)?)$", re.MULTILINE)
# Of Spark's "Job aborted due to stage failure: ...": what a task itself raised, and not how an executor was lost.
_RAISED_IN_TASK = re.compile(r"^Job aborted .* Lost task [^\n]*?\(TID \d+\) \([^)\n]*\): (?P<raised>[\w$]+\.[\w.$]+(?:: .*)?)$")
_JAVA_FRAME = re.compile(r"^\s+at (?:[\w.]+/)?(?P<method>[\w.$<>]+)\((?P<file>[\w$]+\.\w+):(?P<line>\d+)\)$", re.MULTILINE)
_JAVA_LIBRARY = re.compile(r"^(?:java|javax|jdk|sun|com\.sun|scala|org\.apache|py4j|io\.netty|software\.amazon|com\.amazonaws)\.")
_EXIT = re.compile(r"User application exited with status (?P<status>\d+)")
_SUBMIT_ERROR = re.compile(r"^Error: (?P<text>.+)$", re.MULTILINE)
_OUT_OF_MEMORY = re.compile(r"java\.lang\.OutOfMemoryError(?:: [^\n\"]+)?")
_SENTENCE_END = re.compile(r"(?<=[.?!])\s")
_MESSAGE_ENDS = ("== SQL", "\tat ", "   at ", "JVM stacktrace", "'", "+-")
_SUBMIT_LINES = 3  # spark-submit's complaint is the last that it says
_MAX_TITLE = 300
_MAX_SOURCE = 80
_MAX_DETAIL = 20_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """The error that ended a driver.

    :param title: one line for people; :param detail: all that the log says of this error, causes included.
    :param user_line: the owner's code, `job.py:14  out.write...`.
    :param is_users: the text alone shows that the application itself failed.
    """

    title: str
    detail: str
    error_class: str | None = None
    sql_state: str | None = None
    user_line: str | None = None
    is_users: bool = False


def find_fault(stderr: str, stdout: str) -> Fault | None:
    """Return the error that ended the driver; None when the log names none.

    Spark's Python runner merges both streams of the Python process into stdout; YARN's and the JVM's lines are in stderr.
    """
    both = f"{stdout}\n{stderr}"
    return _python_fault(stdout) or _python_fault(stderr) or _java_fault(both) or _spoken_fault(stderr, both)


def _python_fault(text: str) -> Fault | None:
    lines = text.splitlines()
    start = _start_of_traceback(lines)
    if start is None:
        return None
    end = next((i for i in range(start, len(lines)) if lines[i] and not lines[i][0].isspace() and lines[i] != _TRACEBACK), None)
    hit = _RAISED.match(lines[end]) if end is not None else None
    if end is None or hit is None:
        return None
    detail = "\n".join(lines[end:])[:_MAX_DETAIL]
    frame = _user_frame(lines[start:end])
    message = _message(lines[end:])
    return _fault(hit["type"].rpartition(".")[2], message, detail, frame, is_users=frame is not None)


def _start_of_traceback(lines: Sequence[str]) -> int | None:
    """Find the last traceback, or the file line of a program that could not even be parsed (it has no header)."""
    for i in range(len(lines) - 1, -1, -1):
        if lines[i].strip() == _TRACEBACK:
            return i
        if _UNPARSED.match(lines[i]):
            frames = [k for k in range(max(0, i - 5), i) if _FRAME.match(lines[k])]
            if frames:
                return frames[0]
    return None


def _user_frame(lines: Sequence[str]) -> str | None:
    """Return the innermost frame that is neither Spark's nor Python's own, with its source text."""
    found: str | None = None
    for i, line in enumerate(lines):
        hit = _FRAME.match(line)
        if hit and not _LIBRARY.search(hit["file"]):
            source = lines[i + 1].strip() if i + 1 < len(lines) and not _FRAME.match(lines[i + 1]) else ""
            found = _place(PurePosixPath(hit["file"]).name, hit["line"], source)
    return found


def _place(file: str, line: str, source: str) -> str:
    shown = source if len(source) <= _MAX_SOURCE else f"{source[:_MAX_SOURCE].rstrip()}..."
    return f"{file}:{line}  {shown}".rstrip()


def _message(lines: Sequence[str]) -> str:
    """Join the lines of an exception's message up to the query, plan or stack that follows it."""
    kept = [_RAISED.sub(lambda hit: hit["message"] or "", lines[0])]
    for line in lines[1:]:
        if not line.strip() or line.startswith(_MESSAGE_ENDS):
            break
        kept.append(line)
    return "\n".join(kept).strip()


def _fault(kind: str, message: str, detail: str, place: str | None, *, is_users: bool) -> Fault:
    """Name an error by Spark's error class, by the Java exception behind py4j's, or by its own type."""
    found = _ERROR_CLASS.search(message)
    if found:
        title = f"[{found['name']}] {_first_sentence(found['text'])}"
        return Fault(title=title, detail=detail, error_class=found["name"], sql_state=found["state"], user_line=place, is_users=True)
    java = _JAVA_OF_PY4J.search(message) if kind.startswith("Py4J") else None
    title = _short_raised(java["raised"]) if java else f"{kind}: {_first_sentence(message)}".rstrip(": ")
    return Fault(title=title[:_MAX_TITLE], detail=detail, user_line=place, is_users=is_users)


def _first_sentence(text: str) -> str:
    flat = " ".join(text.replace('\\"', '"').replace("\\n", " ").split())
    return _SENTENCE_END.split(flat, maxsplit=1)[0].rstrip(".")[:_MAX_TITLE]


def _short_raised(raised: str) -> str:
    """Shorten `java.lang.IllegalStateException: text` to its simple name and first sentence."""
    name, _, message = raised.partition(": ")
    return f"{name.rpartition('.')[2]}: {_first_sentence(message)}".rstrip(": ")


def _java_fault(text: str) -> Fault | None:
    hits = list(_JAVA.finditer(text))
    if not hits:
        return None
    raised, detail = hits[-1]["raised"], text[hits[-1].start() :][:_MAX_DETAIL]
    name, _, message = raised.partition(": ")
    in_task = _RAISED_IN_TASK.match(message)
    if in_task:
        name, _, message = in_task["raised"].partition(": ")
    frames = (frame for frame in _JAVA_FRAME.finditer(detail) if not _JAVA_LIBRARY.match(frame["method"]))
    own = next(frames, None)
    place = _place(own["file"], own["line"], own["method"]) if own else None
    return _fault(name.rpartition(".")[2], message, detail, place, is_users=place is not None)


def _spoken_fault(stderr: str, both: str) -> Fault | None:
    """Look for the words of YARN's application master, of spark-submit, and of Spark's logger (text or JSON).

    What was only logged may have been caught: it names the error and does not prove whose fault the end is.
    """
    if exited := _last(_EXIT, stderr):
        return Fault(title=f"The application exited with status {exited['status']}", detail=exited[0], is_users=True)
    if refused := _last(_SUBMIT_ERROR, "\n".join(stderr.splitlines()[-_SUBMIT_LINES:])):
        return Fault(title=_first_sentence(refused["text"]), detail=refused[0], is_users=True)
    if memory := _last(_OUT_OF_MEMORY, both):
        return Fault(title=memory[0].removeprefix("java.lang."), detail=memory[0])
    if logged := _last(_LOGGED_CLASS, both):
        title = f"[{logged['name']}] {_first_sentence(logged['text'])}"
        return Fault(title=title, detail=logged[0], error_class=logged["name"], sql_state=logged["state"])
    return None


def _last(pattern: re.Pattern[str], text: str) -> re.Match[str] | None:
    found: re.Match[str] | None = None
    for hit in pattern.finditer(text):
        found = hit
    return found
