"""API tokens: made once with a secret that is shown once, listed without it."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any

from .access_needs import oneself, over_user
from .call import Call, Route
from .failures import bad_parameters, died
from .formats import token_sub_id, user_id
from .rights import check_user_exists, either
from .schema import Param, boolean, integer, needed, text


def token_info(record: Mapping[str, Any]) -> dict[str, Any]:
    info = {"privsep": int(record.get("privsep", 1)), "expire": int(record.get("expire", 0))}
    return info | ({"comment": record["comment"]} if record.get("comment") else {})


def forget_token(data: dict[str, Any], userid: str, name: str) -> None:
    data["token_values"].pop(f"{userid}!{name}", None)
    forget_in_acl(data, "tokens", f"{userid}!{name}")


def forget_in_acl(data: dict[str, Any], kind: str, name: str) -> None:
    for entry in data["acl"].values():
        entry.get(kind, {}).pop(name, None)


def _tokens_of(call: Call) -> dict[str, Any]:
    userid = call.params["userid"]
    check_user_exists(call.sim.state, userid)
    tokens: dict[str, Any] = call.sim.state["users"][userid].setdefault("tokens", {})
    return tokens


def _token_record(call: Call) -> dict[str, Any]:
    name, userid = call.params["tokenid"], call.params["userid"]
    record: dict[str, Any] | None = _tokens_of(call).get(name)
    if record is None:
        raise died(f"no such token '{name}' for user '{userid}'")
    return record


def _tokens(call: Call) -> object:
    return [{"tokenid": name} | token_info(record) for name, record in _tokens_of(call).items()]


def _token(call: Call) -> object:
    return token_info(_token_record(call))


_TOKEN_KEYS = ("privsep", "expire", "comment")


def _create_token(call: Call) -> object:
    name, userid = call.params["tokenid"], call.params["userid"]
    if name in _tokens_of(call):
        raise bad_parameters({"tokenid": "Token already exists."})
    value = str(uuid.uuid4())
    with call.sim.state.changing() as data:
        record = {"privsep": 1, "expire": 0} | {key: call.params[key] for key in _TOKEN_KEYS if key in call.params}
        data["users"][userid]["tokens"][name] = record
        data["token_values"][f"{userid}!{name}"] = value
    # Numbers of a form come back as the text they were sent as.
    info = {"privsep": 1} | {key: call.sent[key] for key in _TOKEN_KEYS if key in call.sent}
    return {"full-tokenid": f"{userid}!{name}", "value": value, "info": info}


def _update_token(call: Call) -> object:
    record = _token_record(call)
    with call.sim.state.changing():
        record |= {key: call.params[key] for key in _TOKEN_KEYS if key in call.params}
    return token_info(record) | {key: call.sent[key] for key in _TOKEN_KEYS if key in call.sent}


def _delete_token(call: Call) -> None:
    _token_record(call)
    with call.sim.state.changing() as data:
        _tokens_of(call).pop(call.params["tokenid"])
        forget_token(data, call.params["userid"], call.params["tokenid"])


_USER = {"userid": needed(text(user_id, longest=64))}
_TOKEN = _USER | {"tokenid": needed(text(token_sub_id))}
_TOKEN_PARAMS: dict[str, Param] = {"comment": text(), "expire": integer(0), "privsep": boolean()}
_TOKEN_NEED = either(oneself, over_user("User.Modify"))
_USER_PATH = "/access/users/{userid}"
ROUTES = (
    Route("GET", f"{_USER_PATH}/token", _tokens, _USER, _TOKEN_NEED),
    Route("GET", f"{_USER_PATH}/token/{{tokenid}}", _token, _TOKEN, _TOKEN_NEED),
    Route("POST", f"{_USER_PATH}/token/{{tokenid}}", _create_token, _TOKEN | _TOKEN_PARAMS, _TOKEN_NEED),
    Route("PUT", f"{_USER_PATH}/token/{{tokenid}}", _update_token, _TOKEN | _TOKEN_PARAMS, _TOKEN_NEED),
    Route("DELETE", f"{_USER_PATH}/token/{{tokenid}}", _delete_token, _TOKEN, _TOKEN_NEED),
)
