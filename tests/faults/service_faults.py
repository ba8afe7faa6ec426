"""Faults of what the VMs are there for, of waivers, and of what the token may see."""

from __future__ import annotations

from datetime import date, timedelta

from tests.faults.fault import Fault
from tests.faults.ways import called, configured, declared, ran, together

GUEST, FQDN = "factory-vm01", "factory-vm01.lab.deevnet.net"
HEALTHY = ("service.healthy",)
MGMT, WORKLOADS = "group_vars/all/mgmt.yml", "group_vars/all/workloads.yml"
TODAY = date.today()
WORKLOAD = """\
  image-factory:
    services:
      - unit: lighttpd.service
        ports: [80]
        health: "http://{fqdn}/healthz"
"""
PAGE = "/var/www/html/healthz"


def waived(clause: str, until: date) -> tuple[str, str, str]:
    entry = f"{{clause: {clause}, reason: being moved, owner: ops, until: {until}}}"
    return (MGMT, "mgmt_waivers: []", f"mgmt_waivers:\n  - {entry}")


SERVICES = (
    Fault(
        "a service that is down",
        HEALTHY,
        f"lighttpd.service on {GUEST}: expected active, seen inactive (dead)",
        ran(GUEST, "systemctl stop lighttpd", "systemctl start lighttpd"),
    ),
    Fault(
        "a service that nobody will start again",
        HEALTHY,
        f"start of lighttpd.service with {GUEST}: expected enabled, seen disabled",
        ran(GUEST, "systemctl disable --quiet lighttpd", "systemctl enable --quiet lighttpd"),
    ),
    Fault(
        "a service that listens and is not well",
        HEALTHY,
        f"health of {GUEST} at http://{FQDN}/healthz: expected 200 OK, seen 404 Not Found",
        ran(GUEST, f"mv {PAGE} /root/", f"mv /root/healthz {PAGE}"),
    ),
    Fault(
        "a service on another port",
        HEALTHY,
        f"listening ports of lighttpd.service on {GUEST}: expected tcp 80, tcp 8080, seen tcp 80",
        declared((WORKLOADS, WORKLOAD, WORKLOAD.replace("[80]", "[80, 8080]"))),
    ),
    Fault(
        "a VM without a declared service",
        (),
        f"no service is declared for {GUEST}",
        declared((WORKLOADS, WORKLOAD, "")),
        pending=HEALTHY,
    ),
)
WAIVERS = (
    Fault(
        "a waiver that is over",
        ("recovery.protected",),
        f"The waiver ended on {TODAY - timedelta(days=1)}",
        together(configured(130, protection="0"), declared(waived("recovery.protected", TODAY - timedelta(days=1)))),
    ),
    Fault(
        "a waiver that nobody needs",
        ("recovery.protected",),
        "The waiver is no longer needed: all checks pass",
        declared(waived("recovery.protected", TODAY + timedelta(days=30))),
    ),
)
PRIVILEGES = (
    Fault(
        "a token that may not see the storages",
        ("bootstrap.post-config",),
        "changes due to the roles: expected none, seen role MgmtAudit",
        called("PUT", "/access/roles/MgmtAudit", privs="Sys.Audit,VM.Audit,Pool.Audit,SDN.Audit"),
        unknown=(
            "storage.local-only",
            "template.fedora",
            "provision.repeatable",
            "separation.no-tenants",
            "backup.scheduled",
            "backup.recent",
        ),
    ),
)
FAULTS = (*SERVICES, *WAIVERS, *PRIVILEGES)
