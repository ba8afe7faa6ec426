"""Turn raw variables into typed ones, and every type error into a problem at its line."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Iterator
from typing import Annotated, Any, TypeVar, get_args, get_origin

from pydantic import BaseModel, TypeAdapter, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from harness.contract import Declared
from harness.inventory.fields import OwnersModel
from harness.inventory.positions import Tagged
from harness.inventory.problems import Key, KeyPath, Problem, error, secret_shape, shown, warning

M = TypeVar("M", bound=BaseModel)
At = Callable[[KeyPath], Declared]

SECRET_HINT = "write {file: PATH}, {env: NAME}, {command: [ARGV]} or {vault: VARIABLE}"  # noqa: S105 - no secret
# What each of pydantic's error types expects, in our words; `{…}` are its own context values.
_EXPECTED = {
    "string_type": "a text",
    "not_text": "a text in quotes",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "bool_type": "true or false",
    "dict_type": "a mapping",
    "model_type": "a mapping",
    "list_type": "a list",
    "literal_error": "{expected}",
    "greater_than": "more than {gt}",
    "greater_than_equal": "at least {ge}",
    "less_than_equal": "at most {le}",
    "too_short": "at least one entry",
    "date_from_datetime_parsing": "a day of the calendar",
    "date_parsing": "a day of the calendar",
    "ip_v4_address": "an IPv4 address",
    "ip_v4_network": "an IPv4 subnet such as 10.20.99.0/24",
    "string_pattern_mismatch": "a text that matches {pattern}",
}
_UNION_TAGS = {"text", "reference"}


def read_model(model: type[M], value: Any, at: At, root: KeyPath) -> tuple[M, list[Problem]]:
    """The model of `value` with its problems; where there are some, the wrong fields raise Unsound when read."""
    try:
        made = model.model_validate(value)
    except ValidationError as cause:
        problems = [_problem(model, found, at, root) for found in cause.errors(include_url=False)]
        made = _sound_part(model, value, cause)
        return made, problems + list(unknown_owner_keys(made, at, root))
    return made, list(unknown_owner_keys(made, at, root))


def _sound_part(model: type[M], value: Any, cause: ValidationError) -> M:
    made = model.model_construct()
    broken = {found["loc"][0] for found in cause.errors() if found["loc"]}
    if not isinstance(value, dict) or not all(found["loc"] for found in cause.errors()):
        broken = set(model.model_fields)
    for name, field in model.model_fields.items():
        if name in broken:
            made.__dict__.pop(name, None)  # its default would be a guess
        elif name in value:
            made.__dict__[name] = _read_field(field, value[name])
    return made


def _read_field(field: FieldInfo, value: Any) -> Any:
    annotated: Any = Annotated
    adapter: TypeAdapter[Any] = TypeAdapter(annotated[field.annotation, field])
    return adapter.validate_python(value)


def _problem(model: type[BaseModel], found: ErrorDetails, at: At, root: KeyPath) -> Problem:
    path = _path(found["loc"])
    here = (*root, *path)
    value = found["input"]
    kind = found["type"]
    if kind == "missing":
        return error(at(path), here, found="nothing", expected=_description(model, path) or f"the key {path[-1]!r}")
    if kind == "extra_forbidden":
        known = _fields(model, path[:-1])
        return error(at(path), here, found="an unknown key", expected=one_of(known), hint=close_to(path[-1], known))
    if kind == "model_type" and found.get("ctx", {}).get("class_name") == "Secret":
        return error(at(path), here, found="a plain value (not shown)", expected="a reference to it", hint=SECRET_HINT)
    expected = _EXPECTED[kind].format(**found.get("ctx", {})) if kind in _EXPECTED else found["msg"]
    hint = _description(model, path)
    if kind in {"string_type", "not_text"} and isinstance(value, int | float):
        hint = "put it in quotes: YAML reads it as a number"
    return error(at(path), here, found=shown(value, here), expected=expected, hint=hint)


def _path(loc: Iterable[Key]) -> KeyPath:
    path: list[Key] = []
    for key in loc:
        if not (key in _UNION_TAGS and path and path[-1] == "fingerprint"):
            path.append(key)
    return tuple(path)


def _models_on(model: type[BaseModel], path: KeyPath) -> Iterator[tuple[type[BaseModel], Key]]:
    """Each model on the way down `path`, with the key that is asked of it."""
    annotation: Any = model
    for key in path:
        if made := _model_in(annotation):
            yield made, key
            field = made.model_fields.get(str(key))
            annotation = field.annotation if field else None
        else:
            annotation = next((part for part in get_args(annotation)[::-1] if part is not type(None)), None)


def _model_in(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    if get_origin(annotation) in {dict, list}:
        return None
    return next((made for part in get_args(annotation) if (made := _model_in(part))), None)


def _description(model: type[BaseModel], path: KeyPath) -> str:
    for made, key in reversed(list(_models_on(model, path))):
        if key == path[-1] and (field := made.model_fields.get(str(key))):
            return field.description or ""
    return ""


def _fields(model: type[BaseModel], path: KeyPath) -> list[str]:
    *_, (deepest, _) = _models_on(model, (*path, ""))
    return sorted(deepest.model_fields)


def one_of(known: Iterable[str]) -> str:
    names = list(known)
    return f"one of {', '.join(names)}" if names else "one that is declared (none is)"


def close_to(name: object, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(str(name), list(known), n=1)
    return f"did you mean {near[0]!r}?" if near else ""


def unknown_owner_keys(made: BaseModel, at: At, root: KeyPath, path: KeyPath = ()) -> Iterator[Problem]:
    """What the owner's keys hold that we do not know: perhaps a slip of the pen, perhaps not ours."""
    known = sorted(type(made).model_fields)
    if isinstance(made, OwnersModel):
        for key in made.model_extra or {}:
            here = (*path, key)
            hint = close_to(key, known) or "it is not read"
            yield warning(at(here), (*root, *here), found="an unknown key", expected=one_of(known), hint=hint)
    for name, value in made.__dict__.items():
        if isinstance(value, BaseModel):
            yield from unknown_owner_keys(value, at, root, (*path, name))
        elif isinstance(value, dict):
            for key, item in value.items():
                if isinstance(item, BaseModel):
                    yield from unknown_owner_keys(item, at, root, (*path, name, key))


def forbidden_texts(value: Any, at: At, root: KeyPath, path: KeyPath = ()) -> Iterator[Problem]:
    """Credentials, encrypted values and templates inside a key of ours."""
    if isinstance(value, dict | list):
        for key, item in value.items() if isinstance(value, dict) else enumerate(value):
            yield from forbidden_texts(item, at, root, (*path, key))
        return
    if not isinstance(value, str):
        return
    here = (*root, *path)
    if isinstance(value, Tagged):
        hint = "give the encrypted value a variable of its own and write {vault: VARIABLE}"
        yield error(at(path), here, found=f"a {value.tag} value", expected="a reference to it", hint=hint)
    elif shape := secret_shape(value):
        found = f"what looks like {shape} (not shown)"
        yield error(at(path), here, found=found, expected="a reference to it", hint=SECRET_HINT)
    elif "{{" in value or "{%" in value:
        hint = "only Ansible evaluates expressions; this key is read without it"
        yield error(at(path), here, found="a Jinja expression", expected="a plain value", hint=hint)
