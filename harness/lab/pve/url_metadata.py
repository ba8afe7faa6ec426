"""What the node finds at an address before it downloads anything: size, name, kind."""

from __future__ import annotations

import ssl
import urllib.error
import urllib.parse
import urllib.request

from .call import Call, Route
from .failures import died
from .path_params import NODE
from .rights import either, perm
from .schema import boolean, needed, text

_TIMEOUT_S = 10


def _look(call: Call) -> object:
    url, trust = call.params["url"], ssl.create_default_context()
    if not call.params.get("verify-certificates", 1):
        trust.check_hostname, trust.verify_mode = False, ssl.CERT_NONE  # the caller asked the node for it
    request = urllib.request.Request(url, method="HEAD")  # noqa: S310 - the schema allows http(s) alone
    try:
        with urllib.request.urlopen(request, timeout=_TIMEOUT_S, context=trust) as answer:  # noqa: S310
            headers = answer.headers
    except urllib.error.HTTPError as error:
        raise died(f"invalid server response: '{error.code} {error.reason}'") from error
    except OSError as error:
        reason = getattr(error, "reason", error)
        raise died(
            f"invalid server response: '500 Can't connect to {urllib.parse.urlsplit(url).netloc} ({reason})'"
        ) from error
    length, kind = headers.get("Content-Length"), headers.get_content_type()
    found = {"filename": urllib.parse.unquote(urllib.parse.urlsplit(url).path.rpartition("/")[2]), "mimetype": kind}
    return found | ({"size": int(length)} if length is not None else {})


_REACH_OUT = either(perm("/", "Sys.Audit", "Sys.Modify"), perm("/nodes/{node}", "Sys.AccessNetwork"))
_PARAMS = NODE | {"url": needed(text(pattern=r"https?://.*")), "verify-certificates": boolean()}
ROUTES = (Route("GET", "/nodes/{node}/query-url-metadata", _look, _PARAMS, _REACH_OUT, locked=False),)
