"""The hypervisor is as bootstrap leaves it, and running bootstrap again would change nothing."""

import pytest

from harness.contract import Hypervisor
from harness.verify.expect import Expect
from harness.verify.host_setup import HostSetup

BOOTSTRAP = "./invoke bootstrap"
KEYS_ONLY = {"pubkeyauthentication": "yes", "passwordauthentication": "no", "kbdinteractiveauthentication": "no"}
ROOT_BY_KEY = {"without-password", "prohibit-password"}  # sshd says the first for both


@pytest.mark.clause("bootstrap.post-config")
def test_only_declared_repositories_are_on(
    declared_repositories: frozenset[str], host_setup: HostSetup, hypervisor: Hypervisor, expect: Expect
) -> None:
    seen = host_setup.repositories
    expect("enabled package repositories", seen, declared_repositories, at=hypervisor, do=BOOTSTRAP)


@pytest.mark.clause("bootstrap.post-config")
def test_pve_manager_is_on_hold(host_setup: HostSetup, hypervisor: Hypervisor, expect: Expect) -> None:
    held = host_setup.held_packages
    expect.that("pve-manager" in held, "packages on hold", held, "pve-manager", at=hypervisor, do=BOOTSTRAP)


@pytest.mark.clause("bootstrap.post-config")
def test_apt_is_pinned_to_the_declared_version(host_setup: HostSetup, hypervisor: Hypervisor, expect: Expect) -> None:
    seen, wanted = host_setup.pinned_versions, frozenset({hypervisor.pve_version})
    expect("pinned versions of pve-manager", seen, wanted, at=hypervisor, do=BOOTSTRAP)


@pytest.mark.clause("bootstrap.post-config")
def test_asks_the_declared_time_servers(
    time_servers: frozenset[str], host_setup: HostSetup, hypervisor: Hypervisor, expect: Expect
) -> None:
    seen = frozenset(host_setup.clock_sources)
    expect("time servers", seen, time_servers, at=hypervisor, do=BOOTSTRAP)


@pytest.mark.clause("bootstrap.post-config")
def test_clock_follows_one_of_them(
    time_servers: frozenset[str], host_setup: HostSetup, hypervisor: Hypervisor, expect: Expect
) -> None:
    followed, todo = [name for name, follows in host_setup.clock_sources.items() if follows], "chronyc sources"
    said = f"Look on {hypervisor.name} with `{todo}` why none is followed: nobody may answer there"
    expect.that(bool(followed), "time server the clock follows", followed, "one", at=hypervisor, do=said)


@pytest.mark.clause("bootstrap.post-config")
def test_ssh_takes_keys_only(host_setup: HostSetup, hypervisor: Hypervisor, expect: Expect) -> None:
    seen = {key: host_setup.sshd.get(key) for key in KEYS_ONLY}
    expect("how sshd lets somebody in", seen, KEYS_ONLY, at=hypervisor, do=BOOTSTRAP)


@pytest.mark.clause("bootstrap.post-config")
def test_ssh_lets_root_in_by_key_alone(host_setup: HostSetup, hypervisor: Hypervisor, expect: Expect) -> None:
    seen, wanted = host_setup.sshd.get("permitrootlogin"), "prohibit-password"
    expect.that(seen in ROOT_BY_KEY, "PermitRootLogin", seen, wanted, at=hypervisor, do=BOOTSTRAP)


@pytest.mark.clause("bootstrap.post-config")
def test_storages_hold_what_is_declared(
    stored_content: dict[str, frozenset[str]], hypervisor: Hypervisor, expect: Expect
) -> None:
    wanted = {storage.name: storage.content for storage in hypervisor.storages}
    expect("content of the storages", stored_content, wanted, at=hypervisor, do=BOOTSTRAP)


@pytest.mark.clause("bootstrap.post-config")
def test_roles_have_exactly_their_privileges(undone_roles: list[str], hypervisor: Hypervisor, expect: Expect) -> None:
    expect("changes due to the roles", undone_roles, [], at=hypervisor, do=BOOTSTRAP)


@pytest.mark.clause("bootstrap.post-config")
def test_users_are_as_made(undone_users: list[str], hypervisor: Hypervisor, expect: Expect) -> None:
    expect("changes due to the users", undone_users, [], at=hypervisor, do=BOOTSTRAP)


@pytest.mark.clause("bootstrap.post-config")
def test_tokens_have_privileges_of_their_own(undone_tokens: list[str], hypervisor: Hypervisor, expect: Expect) -> None:
    expect("changes due to the tokens", undone_tokens, [], at=hypervisor, do=BOOTSTRAP)


@pytest.mark.clause("bootstrap.post-config")
def test_users_have_no_other_tokens(other_tokens: list[str], hypervisor: Hypervisor, expect: Expect) -> None:
    todo = "Remove them as root on the node: pveum user token remove USER TOKEN"
    expect("tokens that are not declared", other_tokens, [], at=hypervisor, do=todo)


@pytest.mark.clause("bootstrap.post-config")
def test_grants_are_exactly_the_declared(undone_grants: list[str], hypervisor: Hypervisor, expect: Expect) -> None:
    expect("changes due to who may do what", undone_grants, [], at=hypervisor, do=BOOTSTRAP)


@pytest.mark.clause("bootstrap.post-config")
def test_pool_holds_the_templates(undone_pool: list[str], hypervisor: Hypervisor, expect: Expect) -> None:
    expect("changes due to the pool", undone_pool, [], at=hypervisor, do=BOOTSTRAP)


@pytest.mark.clause("bootstrap.post-config")
def test_backup_job_is_the_declared_one(undone_backup: list[str], hypervisor: Hypervisor, expect: Expect) -> None:
    expect("changes due to the backup job", undone_backup, [], at=hypervisor, do=BOOTSTRAP)


@pytest.mark.clause("bootstrap.post-config")
def test_nested_virtualization_is_asked_for_where_declared(
    host_setup: HostSetup, hypervisor: Hypervisor, expect: Expect
) -> None:
    seen, wanted = host_setup.nested_asked, hypervisor.nested
    expect("VMs in VMs asked for in /etc/modprobe.d", seen, wanted, at=hypervisor, do=BOOTSTRAP)


@pytest.mark.clause("bootstrap.post-config")
def test_nested_virtualization_works_where_declared(
    host_setup: HostSetup, hypervisor: Hypervisor, expect: Expect
) -> None:
    seen, todo = host_setup.nested_runs, f"Restart {hypervisor.name}: KVM reads its options when it is loaded"
    expect.that(seen or not hypervisor.nested, "VMs in VMs", seen, hypervisor.nested, at=hypervisor, do=todo)
