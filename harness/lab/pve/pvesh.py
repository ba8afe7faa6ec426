"""Answer `pvesh` on the node itself: root's way to the API without a login, in the original's words and statuses."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from . import routes
from .call import Answer, Route
from .dispatch import Dispatcher, Response
from .failures import ApiError
from .schema import Param, boolean, one_of
from .simulator import Simulator
from .tasks import UPID

METHODS = {"get": "GET", "set": "PUT", "create": "POST", "delete": "DELETE"}
# Perl's `die` ends with errno: whatever was there for an API error, 255 where nothing was.
DIED, REFUSED, NO_HANDLER = 2, 255, 1
_OUTPUT: Mapping[str, Param] = {
    "output-format": one_of("json", "json-pretty", "text", "yaml"),
    **{name: boolean() for name in ("human-readable", "noborder", "noheader", "noproxy", "quiet")},
}
_WORDS = {"1": 1, "on": 1, "yes": 1, "true": 1, "0": 0, "off": 0, "no": 0, "false": 0}
_WAIT_S = 60.0


@dataclass
class Outcome:
    """What the program prints and ends with."""

    stdout: str = ""
    stderr: str = ""
    code: int = 0


@dataclass
class Options:
    """Of the command line: what goes to the API, and how the answer is to look."""

    sent: dict[str, Any] = field(default_factory=dict)
    output: dict[str, Any] = field(default_factory=dict)


class UsageError(Exception):
    """The command line is not understood; `said` is what Getopt printed before."""

    def __init__(self, message: str, said: str = "") -> None:
        super().__init__(message)
        self.said = said


def run(sim: Simulator, dispatcher: Dispatcher, arguments: Sequence[str]) -> Outcome:
    """`pvesh ARGUMENTS` as root."""
    if not arguments or arguments[0] not in METHODS:
        return Outcome(stderr=_general_usage(arguments), code=REFUSED)
    command, rest = arguments[0], arguments[1:]
    if not rest or rest[0].startswith("-"):
        return Outcome(stderr=f"400 not enough arguments\npvesh {command} <api_path> [OPTIONS]\n", code=REFUSED)
    path = rest[0]
    found = routes.find(METHODS[command], path)
    if found is None:
        return Outcome(stderr=f"No '{command}' handler defined for '{path}'\n", code=NO_HANDLER)
    route, from_path = found
    return call(sim, dispatcher, Asked(route, path, from_path, f"pvesh {command} <api_path>"), rest[1:])


@dataclass(frozen=True)
class Asked:
    """What is called, with what is settled before the options are read; `shown` begins the usage."""

    route: Route
    path: str
    given: Mapping[str, Any]
    shown: str


def call(sim: Simulator, dispatcher: Dispatcher, asked: Asked, arguments: Sequence[str]) -> Outcome:
    """What a program that calls the API itself prints of the answer."""
    schema = {name: param for name, param in asked.route.params.items() if name not in asked.given}
    usage = _usage(asked.shown, schema)
    try:
        options = parse(schema, arguments)
        answer = dispatcher.call_as_root(asked.route, asked.path, {**options.sent, **asked.given})
    except UsageError as error:
        return Outcome(stderr=f"{error.said}400 {error}\n{usage}", code=REFUSED)
    except ApiError as error:
        return _failed(error, usage)
    return _answered(sim, asked.route, answer, options.output)


def parse(schema: Mapping[str, Param], arguments: Sequence[str]) -> Options:
    """One or two dashes, `=` or a blank before the value; a boolean may stand alone."""
    found, rest = Options(), list(arguments)
    while rest:
        match = re.fullmatch(r"--?([A-Za-z][\w-]*)(?:=(.*))?", rest.pop(0), re.DOTALL)
        if match is None:
            raise UsageError("too many arguments")
        name, value = match[1], match[2]
        param = _OUTPUT.get(name) or schema.get(name)
        if param is None:
            raise UsageError("unable to parse option", f"Unknown option: {name}\n")
        if value is None:
            value = _next_value(name, param, rest)
        _put(found.output if name in _OUTPUT else found.sent, name, param, value)
    return found


def _next_value(name: str, param: Param, rest: list[str]) -> str:
    if param.kind == "boolean":
        return rest.pop(0) if rest and not rest[0].startswith("-") else "1"
    if not rest:
        raise UsageError("unable to parse option", f"Option {name} requires an argument\n")
    return rest.pop(0)


def _put(values: dict[str, Any], name: str, param: Param, value: str) -> None:
    """Lists may be given in several options; of anything else the last one counts."""
    if param.kind == "boolean":
        if value.lower() not in _WORDS:
            raise UsageError("unable to parse boolean option")
        values[name] = str(_WORDS[value.lower()])
    elif param.kind == "array":
        values.setdefault(name, []).append(value)
    elif param.is_list and name in values:
        values[name] = f"{values[name]},{value}"
    else:
        values[name] = value


def _usage(shown: str, schema: Mapping[str, Param]) -> str:
    needed = [f" --{name} <{param.kind}>" for name, param in sorted(schema.items()) if not param.optional]
    return f"{shown}{''.join(needed)} [OPTIONS] [FORMAT_OPTIONS]\n"


def _general_usage(arguments: Sequence[str]) -> str:
    what = f"unknown command '{arguments[0]}'" if arguments else "no command specified"
    usages = "".join(f"       pvesh {command} <api_path> [OPTIONS] [FORMAT_OPTIONS]\n" for command in METHODS)
    return f"ERROR: {what}\nUSAGE: pvesh <COMMAND> [ARGS] [OPTIONS]\n{usages}"


def _failed(error: ApiError, usage: str) -> Outcome:
    """A plain `die` shows its text alone; other refusals show their status, wrong parameters the usage as well."""
    if error.errors is None:
        status = "" if error.status == 500 else f"{error.status} "
        return Outcome(stderr=f"{status}{error.message.rstrip()}\n", code=DIED)
    lines = "".join(f"{name}: {text.rstrip()}\n" for name, text in sorted(error.errors.items()))
    return Outcome(stderr=f"{error.status} {error.message}\n{lines}{usage}", code=REFUSED)


def _answered(sim: Simulator, route: Route, answer: object, output: Mapping[str, Any]) -> Outcome:
    if isinstance(answer, Response):
        return Outcome(stderr=f"{answer.status} {answer.reason}\n", code=DIED)
    data = answer.data if isinstance(answer, Answer) else answer
    done = Outcome()
    if route.method != "GET" and isinstance(data, str) and UPID.fullmatch(data):
        _show_task(done, _log_of_ended(sim, data))
    if data is not None and output.get("quiet") != "1":
        done.stdout += render(data, output.get("output-format", "text"))
    return done


def _log_of_ended(sim: Simulator, upid: str) -> Iterable[str]:
    """On the command line a worker is waited for."""
    while not sim.tasks.wait(upid, _WAIT_S):
        pass
    log: list[str] = sim.tasks.find(upid)["log"]
    return log


def _show_task(done: Outcome, log: Iterable[str]) -> None:
    """The worker's words, its error apart. The exit status stays 0: pvesh started the task, and that went well."""
    for line in log:
        if line.startswith("TASK ERROR: "):
            done.stderr += line.removeprefix("TASK ERROR: ") + "\n"
        elif line != "TASK OK":
            done.stdout += f"{line}\n"


def render(data: object, output_format: str) -> str:
    """The original draws tables for `text`; here only a text is shown as such, and everything else as JSON."""
    if output_format == "json":
        return json.dumps(data, sort_keys=True, ensure_ascii=False, separators=(",", ":")) + "\n"
    if output_format == "text" and isinstance(data, str | int | float):
        return f"{data}\n"
    return json.dumps(data, sort_keys=True, ensure_ascii=False, indent=3, separators=(",", " : ")) + "\n"
