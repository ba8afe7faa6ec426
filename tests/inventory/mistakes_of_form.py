"""Mistakes in YAML, in keys and their types, in secrets and in waivers."""

from __future__ import annotations

from tests.inventory.mistakes import DEFAULTS, HOSTS, HV, NAMESPACE, ROUTER, SITE, VM, doubt, mistake

WAIVER = """
mgmt_waivers:
  - clause: hardware.model
    reason: being repaired
    owner: me
    until: 2027-01-31
"""

YAML_MISTAKES = [
    mistake("broken YAML", VM, "env:\n", "env: [\n", "  interfaces:", "YAML error"),
    mistake("a tab for indentation", VM, "  role: logs", "\trole: logs", "\trole: logs", "YAML error"),
    mistake("broken hosts.yml", HOSTS, "hv01: {}", "hv01: {", "management_vms:", "YAML error"),
    mistake("broken site file", SITE, "mgmt_site:", "mgmt_site: {", "authority", "YAML error"),
    mistake("a doubled key", VM, "  cores: 2", "  cores: 2\n  cores: 4", "cores: 4", "'cores'", "second time"),
    mistake("a doubled host", HOSTS, "hv02: {}", "hv01: {}", "hv01: {}", "'hv01'", "second time"),
    mistake(
        "a list for a mapping", VM, "mgmt_vm:\n", "mgmt_vm: []\nnot_ours:\n", "mgmt_vm", "an empty list", "a mapping"
    ),
    mistake("an unknown YAML tag", VM, "  cores: 2", "  cores: !many 2", "cores: !many", "unknown tag !many"),
]

KEY_MISTAKES = [
    mistake(
        "a priority in no form",
        HOSTS,
        "    management_vms:",
        "    management_vms:\n      vars: {ansible_group_priority: high}",
        "vars:",
        "'high'",
        "a whole number",
    ),
    mistake(
        "unknown key in mgmt_vm",
        VM,
        "memory_mib:",
        "memory: 1\n  memory_mib:",
        "memory: 1",
        "unknown key",
        "memory_mib",
    ),
    mistake(
        "unknown key in defaults", DEFAULTS, "  bridge:", "  brigde: x\n  bridge:", "brigde", "did you mean 'bridge'"
    ),
    mistake("unknown key deep down", HV, "codename:", "codenme: x, codename:", "codenme", "did you mean 'codename'"),
    mistake(
        "unknown variable of ours",
        SITE,
        "mgmt_site:",
        "mgmt_sites: 1\nmgmt_site:",
        "mgmt_sites",
        "did you mean 'mgmt_site'",
    ),
    doubt("unknown key in env", VM, "purpose: mgmt", "purpos: mgmt", "purpos", "unknown key", "did you mean 'purpose'"),
    doubt("unknown key in infrastructure", VM, "  form: vm", "  form: vm\n  rack: 3", "rack: 3", "unknown key"),
    mistake(
        "text for a number", VM, "memory_mib: 4096", "memory_mib: '4096'", "memory_mib", "'4096'", "a whole number"
    ),
    mistake("number for a text", HV, 'release: "12"', "release: 12", "release: 12", "found 12", "a text", "quotes"),
    mistake("negative memory", VM, "memory_mib: 4096", "memory_mib: -1", "memory_mib", "-1", "at least 16"),
    mistake(
        "a word for true", VM, "dhcp_reservation: true", "dhcp_reservation: 'yes'", "dhcp_reservation", "true or false"
    ),
    mistake("index out of range", VM, "index: 1", "index: 300", "index: 300", "300", "at most 255"),
    mistake("VMID out of range", VM, "vmid: 2031", "vmid: 31", "vmid: 31", "at least 100"),
    mistake("a version in no form", HV, '"8.4.1"', '"8.4"', "pve_version", "'8.4'", "8.4.1"),
    mistake("missing key", VM, "  cores: 2\n", "", "mgmt_vm:", "mgmt_vm.cores", "found nothing"),
    mistake(
        "missing site keys", SITE, "  authority: core ", "  # authority: core ", "mgmt_site:", "authority", "nothing"
    ),
    mistake("no mgmt_vm", VM, "mgmt_vm:", "not_mgmt_vm:", "env:", "the key mgmt_vm"),
    mistake("no mgmt_hypervisor", HV, "mgmt_hypervisor:", "old_hypervisor:", "env:", "the key mgmt_hypervisor"),
    mistake("no namespace", NAMESPACE, "mgmt_mac_namespace:", "old_namespace:", "all:", "mgmt_mac_namespace", at=HOSTS),
    mistake("no mgmt_site", SITE, "mgmt_site:", "old_site:", "all:", "the key mgmt_site", at=HOSTS),
    mistake(
        "an expression in our key", VM, "cores: 2", 'cores: "{{ 1 + 1 }}"', "cores:", "Jinja expression", "plain value"
    ),
    mistake(
        "an expression as zone",
        "dvntm/group_vars/all/main.yml",
        "deevnet.net\n",
        "'{{ zone }}'\n",
        "deevnet_root_domain",
        "plain text",
    ),
    mistake(
        "a VM that is nowhere entered",
        HOSTS,
        "            logs-vm01: {}\n",
        "",
        "mgmt_vm:",
        "unknown host 'logs-vm01'",
        at=VM,
    ),
    mistake(
        "a slip in a host's name",
        HOSTS,
        "logs-vm01: {}",
        "lgos-vm01: {}",
        "lgos-vm01",
        "'logs-vm01'",
        "belongs to no host",
    ),
    mistake(
        "a slip in a group's name",
        HOSTS,
        "management_vms:",
        "managment_vms:",
        "mgmt_vm_defaults:",
        "unknown group 'management_vms'",
        at=DEFAULTS,
    ),
    mistake(
        "a default that is gone",
        DEFAULTS,
        "  bridge: vmbr0\n",
        "",
        "mgmt_vm_defaults:",
        "bridge for every management VM",
    ),
    mistake(
        "no defaults",
        DEFAULTS,
        "mgmt_vm_defaults:",
        "old_defaults:",
        "all:",
        "bridge, hypervisor, ssh, template for every",
        at=HOSTS,
    ),
    mistake(
        "a wrong default",
        DEFAULTS,
        "template: fedora-server-43",
        "template: 43",
        "template: 43",
        "mgmt_vm_defaults.template",
        "a text",
    ),
    mistake(
        "a nested list of hosts",
        HOSTS,
        "          hosts:\n            jump-vm01: {}\n            oob-vm01: {}",
        "          hosts: [jump-vm01, oob-vm01]",
        "hosts: [",
        "a mapping of hosts",
    ),
]

_PIN = "fingerprint: {file: ~/.config/mgmt-harness/dvntm/opnsense.fingerprint}"
_PAIR = "    secret: {file: ~/.config/mgmt-harness/dvntm/opnsense.secret}\n"

ROUTER_MISTAKES = [
    mistake("an unknown kind", ROUTER, "kind: opnsense", "kind: pfsense", "kind:", "'pfsense'", "'opnsense'"),
    mistake("plain HTTP", ROUTER, "https://10.20.99.1:443", "http://10.20.99.1:80", "url:", "https://name:443"),
    mistake("no port", ROUTER, "https://10.20.99.1:443", "https://10.20.99.1", "url:", "https://name:443"),
    mistake("trusting anybody", ROUTER, f"    {_PIN}\n", "", "api:", "exactly one of fingerprint, ca_file"),
    mistake("two anchors", ROUTER, _PIN, f"{_PIN}\n    ca_file: ca.pem", "api:", "exactly one of fingerprint, ca_file"),
    mistake("no fingerprint", ROUTER, _PIN, "fingerprint: AA:BB", "fingerprint:", "'AA:BB'", "SHA-256"),
    mistake("half a key", ROUTER, _PAIR, "", "mgmt_router:", "api.secret with kind opnsense"),
    mistake("a pair for VyOS", ROUTER, "kind: opnsense", "kind: vyos", "mgmt_router:", "api.secret with kind opnsense"),
    mistake("an API for dnsmasq", ROUTER, "kind: opnsense", "kind: dnsmasq", "mgmt_router:", "dnsmasq has none"),
    mistake(
        "a release of OPNsense",
        ROUTER,
        _PAIR,
        f'{_PAIR}    release: "1.5"\n',
        "mgmt_router:",
        "api.release with kind vyos only",
    ),
    mistake("an unknown release", ROUTER, _PAIR, "    release: 1.5\n", "release:", "'1.4'", "'1.5'"),
    mistake(
        "a key in place",
        ROUTER,
        "key: {file: ~/.config/mgmt-harness/dvntm/opnsense.key}",
        "key: w86XNZob",
        "key:",
        "a plain value (not shown)",
        "{vault: VARIABLE}",
    ),
]

SECRET_MISTAKES = [
    mistake(
        "a token as value",
        HV,
        "secret: {file: ~/.config/mgmt-harness/dvntm/verify.token}",
        "secret: 1b6f7c2a-90aa-4bde-8f4c-0123456789ab",
        "secret: 1b6f",
        "a PVE token value (not shown)",
        "{file: PATH}",
    ),
    mistake(
        "a password as value",
        HV,
        "secret: {file: ~/.config/mgmt-harness/dvntm/verify.token}",
        "secret: hunter2secret",
        "secret: hunter2",
        "a plain value (not shown)",
        "{vault: VARIABLE}",
    ),
    mistake(
        "a token in a key we do not know",
        VM,
        "  cores: 2",
        "  cores: 2\n  api_token: 1b6f7c2a-90aa-4bde-8f4c-0123456789ab",
        "api_token",
        "not shown",
    ),
    mistake(
        "a token as reason",
        SITE,
        "mgmt_site:\n",
        "mgmt_site:\n  planned: {metrics: 'token 1b6f7c2a-90aa-4bde-8f4c-0123456789ab'}\n",
        "planned",
        "not shown",
    ),
    mistake(
        "a private key",
        HV,
        "identity_file: ~/.ssh/a_autoprov_rsa",
        "identity_file: '-----BEGIN OPENSSH PRIVATE KEY-----'",
        "identity_file",
        "a private key (not shown)",
    ),
    mistake(
        "an encrypted value in place",
        HV,
        "secret: {file: ~/.config/mgmt-harness/dvntm/verify.token}",
        "secret: !vault |\n          $ANSIBLE_VAULT;1.1;AES256\n          3365",
        "secret: !vault",
        "!vault value",
        "{vault: VARIABLE}",
    ),
    mistake(
        "two references",
        HV,
        "{file: ~/.config/mgmt-harness/dvntm/verify.token}",
        "{file: a, env: B}",
        "secret: {file: a",
        "exactly one of env, file, command, vault",
    ),
    mistake(
        "an unknown reference",
        HV,
        "{file: ~/.config/mgmt-harness/dvntm/verify.token}",
        "{keepass: a}",
        "keepass",
        "unknown key",
    ),
]

WAIVER_MISTAKES = [
    mistake(
        "no day of the calendar",
        SITE,
        "mgmt_site:",
        WAIVER.replace("2027-01-31", "2027-02-30") + "mgmt_site:",
        "until:",
        "'2027-02-30'",
        "calendar",
    ),
    mistake(
        "no reason",
        SITE,
        "mgmt_site:",
        WAIVER.replace("    reason: being repaired\n", "") + "mgmt_site:",
        "- clause",
        "reason",
        "why the clause does not apply here",
    ),
    mistake(
        "an empty reason",
        SITE,
        "mgmt_site:",
        WAIVER.replace("being repaired", "' '") + "mgmt_site:",
        "reason:",
        "a text that is not empty",
    ),
    mistake(
        "no end",
        SITE,
        "mgmt_site:",
        WAIVER.replace("    until: 2027-01-31\n", "") + "mgmt_site:",
        "- clause",
        "until",
        "the last day",
    ),
    mistake(
        "no date",
        SITE,
        "mgmt_site:",
        WAIVER.replace("2027-01-31", "soon") + "mgmt_site:",
        "until:",
        "'soon'",
        "a date such as",
    ),
    mistake(
        "no clause id",
        SITE,
        "mgmt_site:",
        WAIVER.replace("hardware.model", "The model") + "mgmt_site:",
        "- clause",
        "'The model'",
        "the id of a clause",
    ),
    mistake(
        "twice",
        SITE,
        "mgmt_site:",
        WAIVER + WAIVER.replace("mgmt_waivers:\n", "").replace("being", "still being") + "mgmt_site:",
        "  - clause: hardware.model",
        "a second waiver",
    ),
    mistake(
        "no owner",
        SITE,
        "mgmt_site:",
        WAIVER.replace("    owner: me\n", "") + "mgmt_site:",
        "- clause",
        "owner",
        "who answers for the waiver",
    ),
    mistake(
        "too long",
        SITE,
        "mgmt_site:",
        WAIVER.replace("2027-01-31", "2027-02-21") + "mgmt_site:",
        "until:",
        "a waiver of hardware.model until 2027-02-21",
        "2027-02-20 at the latest, 90 days from now",
    ),
    doubt(
        "over",
        SITE,
        "mgmt_site:",
        WAIVER.replace("2027-01-31", "2026-01-31") + "mgmt_site:",
        "until:",
        "ended on 2026-01-31",
    ),
    mistake(
        "a scratch VM on one of ours",
        SITE,
        "scratch_vmid: 2099",
        "scratch_vmid: 2031",
        "scratch_vmid",
        "2031, the management VM logs-vm01",
    ),
    mistake(
        "a scratch VM on another site's",
        SITE,
        "scratch_vmid: 2099",
        "scratch_vmid: 1031",
        "scratch_vmid",
        "the VMID 1031",
        "over all sites",
    ),
    mistake(
        "a drill nobody knows",
        SITE,
        "mgmt_site:\n",
        "mgmt_site:\n  drills: [rebiuld]\n",
        "drills",
        "'rebiuld'",
    ),
    mistake(
        "no age",
        SITE,
        "mgmt_site:\n",
        "mgmt_site:\n  backup_max_age_h: 0\n",
        "backup_max_age_h",
    ),
    mistake(
        "an ephemeral disk that is no slot",
        VM,
        "  cores: 2",
        "  cores: 2\n  ephemeral_disks: [sda]",
        "ephemeral_disks",
        "'sda'",
    ),
    mistake(
        "an exception without an end",
        SITE,
        "mgmt_site:\n",
        "mgmt_site:\n  exceptions: [{vmid: 900, reason: x}]\n",
        "exceptions",
        "the last day of the exception",
    ),
    mistake(
        "an exception for ours",
        SITE,
        "mgmt_site:\n",
        "mgmt_site:\n  exceptions: [{vmid: 2031, reason: x, until: 2027-01-31}]\n",
        "exceptions",
        "the management VM logs-vm01",
    ),
    mistake(
        "planning what is unknown",
        SITE,
        "mgmt_site:\n",
        "mgmt_site:\n  planned: {metric: later}\n",
        "planned",
        "unknown responsibility 'metric'",
        "did you mean 'metrics'",
    ),
]
