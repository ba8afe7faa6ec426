"""The hypervisor stands alone: no cluster, no high availability, no shared storage, its own web interface."""

from typing import Any

import pytest

from harness.contract import Hypervisor
from harness.observed import ObservedCluster, ObservedStorage
from harness.verify.expect import Expect
from harness.verify.host_facts import HostFacts
from harness.verify.marks import is_local

LEAVE = "Take the node out of the cluster: see `pvecm` in Proxmox VE's documentation, chapter Separate A Node"
REMOVE = "Remove it in the web interface under Datacenter"


@pytest.mark.clause("standalone.no-cluster")
def test_api_knows_one_node_and_no_cluster(cluster: ObservedCluster, hypervisor: Hypervisor, expect: Expect) -> None:
    seen, alone = (cluster.cluster_name, *cluster.nodes), (None, hypervisor.node)
    expect("cluster and nodes", seen, alone, at=hypervisor, do=LEAVE)


@pytest.mark.clause("standalone.no-cluster")
def test_host_has_no_corosync_configuration(hypervisor_host: HostFacts, hypervisor: Hypervisor, expect: Expect) -> None:
    expect("corosync configuration", hypervisor_host.corosync_files, (), at=hypervisor, do=LEAVE)


@pytest.mark.clause("standalone.no-cluster")
def test_corosync_does_not_run(hypervisor_host: HostFacts, hypervisor: Hypervisor, expect: Expect) -> None:
    expect("corosync.service", hypervisor_host.corosync_state, "inactive", at=hypervisor, do=LEAVE)


@pytest.mark.clause("standalone.no-ha")
def test_has_no_ha_resources(cluster: ObservedCluster, hypervisor: Hypervisor, expect: Expect) -> None:
    expect("HA resources", cluster.ha_resources, (), at=hypervisor, do=f"{REMOVE}, HA")


@pytest.mark.clause("standalone.no-ha")
def test_has_no_ha_groups(cluster: ObservedCluster, hypervisor: Hypervisor, expect: Expect) -> None:
    expect("HA groups", cluster.ha_groups, (), at=hypervisor, do=f"{REMOVE}, HA, Groups")


@pytest.mark.clause("standalone.no-ha")
def test_has_no_fencing(cluster_options: dict[str, Any], hypervisor: Hypervisor, expect: Expect) -> None:
    expect(
        "fencing", cluster_options.get("fencing"), None, at=hypervisor, do="Take fencing out of /etc/pve/datacenter.cfg"
    )


@pytest.mark.clause("standalone.no-replication")
def test_has_no_replication_jobs(replication_jobs: tuple[str, ...], hypervisor: Hypervisor, expect: Expect) -> None:
    expect("replication jobs", replication_jobs, (), at=hypervisor, do=f"{REMOVE}, Replication")


@pytest.mark.clause("standalone.own-web-ui")
def test_answers_with_the_pinned_certificate(shown: str, pinned: str, hypervisor: Hypervisor, expect: Expect) -> None:
    todo = f"Compare both with `pvenode cert info` on {hypervisor.name}; if it is right, ./invoke bootstrap pins it"
    expect(f"certificate of {hypervisor.api.url}", shown, pinned, at=hypervisor, do=todo)


@pytest.mark.clause("storage.local-only")
def test_enabled_storages_are_local(
    storages: tuple[ObservedStorage, ...], hypervisor: Hypervisor, expect: Expect
) -> None:
    away = [f"{one.name} ({one.type})" for one in storages if one.enabled and not is_local(one)]
    expect("storages that are shared or remote", away, [], at=hypervisor, do=f"{REMOVE}, Storage")


@pytest.mark.clause("storage.local-only")
def test_no_network_file_system_is_mounted(hypervisor_host: HostFacts, hypervisor: Hypervisor, expect: Expect) -> None:
    todo = f"Unmount it on {hypervisor.name}, and take it out of /etc/fstab"
    expect("network file systems", hypervisor_host.network_mounts, (), at=hypervisor, do=todo)
