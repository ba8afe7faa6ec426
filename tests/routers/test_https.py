"""A read whose answer was lost is asked again, a write never; what is not our router is not believed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from harness.contract import Contract, RouterApi, SecretRef
from harness.errors import Missing, Unreachable
from harness.evidence import Evidence
from harness.routers import opnsense_api, vyos_api
from harness.routers.https import Lost
from harness.routers.opnsense_api import Rejected
from harness.routers.vyos_config import Command
from tests.pve.served import Answer, Served, make_certificate, serving
from tests.routers.values import ROUTER, contract

STATUS = "/api/kea/service/status"
RUNNING = Answer(body=b'{"status": "running"}')


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    with serving(*make_certificate(tmp_path)) as server:
        yield server


@pytest.fixture
def site(served: Served, tmp_path: Path) -> Contract:
    for name in ("key", "secret"):
        (tmp_path / name).write_text(f"the-{name}-1234")
        (tmp_path / name).chmod(0o600)
    refs = {name: SecretRef("file", str(tmp_path / name)) for name in ("key", "secret")}
    api = RouterApi(served.url, None, served.fingerprint, refs["key"], refs["secret"], None)
    return replace(contract(), router=replace(ROUTER, kind="opnsense", api=api))


def test_a_lost_read_is_asked_again(served: Served, site: Contract) -> None:
    served.say(f"GET {STATUS}", Answer(cut="before"), RUNNING)
    evidence = Evidence()
    with opnsense_api.open_api(site, evidence) as api:
        assert api.get("kea/service/status") == {"status": "running"}
    assert served.times(f"GET {STATUS}") == 2
    assert [fact.asked for fact in evidence.facts] == ["GET kea/service/status"]


def test_a_lost_write_is_not_sent_again(served: Served, site: Contract) -> None:
    served.say("POST /api/kea/service/reconfigure", Answer(cut="before"))
    with opnsense_api.open_api(site, None) as api, pytest.raises(Lost, match="the answer was lost"):
        api.post("kea/service/reconfigure")
    assert served.times("POST /api/kea/service/reconfigure") == 1


def test_vyos_reads_by_post_and_only_reads_twice(served: Served, site: Contract) -> None:
    done = Answer(body=b'{"success": true, "data": {"a": {}}, "error": null}')
    served.say("POST /retrieve", Answer(cut="before"), done)
    served.say("POST /configure", Answer(cut="before"))
    with vyos_api.open_api(site, None) as api:
        assert api.config("service") == {"a": {}}
        with pytest.raises(Lost):
            api.commit([Command("set", ("a",))])
    assert (served.times("POST /retrieve"), served.times("POST /configure")) == (2, 1)


@pytest.mark.parametrize(
    "answer",
    [Answer(body=b"<html>Welcome</html>"), Answer(status=404, body=b"{}"), Answer(status=302, body=b"moved")],
    ids=["a page", "nothing there", "elsewhere"],
)
def test_another_web_server_is_not_taken_for_it(served: Served, site: Contract, answer: Answer) -> None:
    served.say(f"GET {STATUS}", answer)
    with opnsense_api.open_api(site, None) as api, pytest.raises(Unreachable, match=r"not as OPNsense's API does"):
        api.get("kea/service/status")


def test_a_message_with_status_200_is_no_success(served: Served, site: Contract) -> None:
    served.say("POST /api/x/y/z", Answer(body=b'{"errorMessage": "in use", "errorTitle": "Warning"}'))
    served.say("GET /api/x/y/z", Answer(body=b'{"total": 3, "rows": [{}]}'))
    with opnsense_api.open_api(site, None) as api:
        with pytest.raises(Rejected, match="OPNsense says: Warning: in use"):
            api.post("x/y/z")
        with pytest.raises(Exception, match="says 3 rows and shows 1"):
            api.rows("x/y/z")


def test_the_secrets_are_sent_and_never_shown(served: Served, site: Contract) -> None:
    served.say("POST /show", Answer(status=400, body=b'{"success": false, "error": "no", "data": null}'))
    with vyos_api.open_api(site, Evidence()) as api, pytest.raises(vyos_api.Rejected) as caught:
        api.show("version")
    assert "the-key-1234" in served.asked[0].body
    shown = "".join(f"{error!r} {error}" for error in (caught.value, api, api.door, site))
    assert "the-key-1234" not in shown


def test_a_missing_secret_is_named(site: Contract) -> None:
    api = site.router.api
    assert api is not None
    away = replace(site, router=replace(site.router, api=replace(api, key=SecretRef("env", "NO_SUCH_VARIABLE"))))
    with pytest.raises(Missing, match="NO_SUCH_VARIABLE"), vyos_api.open_api(away, None):
        pass
