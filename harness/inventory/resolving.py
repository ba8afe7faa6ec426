"""Resolve a sound inventory into a Contract: pure, and nothing is added that the inventory does not say."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Interface
from pathlib import Path

from harness.contract import (
    AllowedStranger,
    Api,
    ApiToken,
    BackupJob,
    Bridge,
    Contract,
    Declared,
    Factory,
    Guest,
    Hardware,
    Hypervisor,
    Image,
    Mac,
    Nic,
    Packages,
    Record,
    Reservation,
    Router,
    RouterApi,
    Scratch,
    SecretRef,
    Segment,
    Service,
    Ssh,
    Storage,
    Template,
    VmId,
    Waiver,
)
from harness.inventory import models, workload_models
from harness.inventory.fields import Secret
from harness.inventory.resolving_nested import resolve_nested
from harness.inventory.site import Host, Inventory, normal_mac, parse_address


def resolve(inventory: Inventory, *, state_dir: Path) -> Contract:
    """The contract of a sound inventory; nothing is read but the inventory's own values."""
    settings, domain = inventory.settings, inventory.domain
    segments = inventory.sound_segments
    hypervisor = _hypervisor(inventory, inventory.hosts[settings.hypervisor])
    router = _router(inventory, inventory.hosts[settings.core_router])
    tenant = inventory.hosts[settings.tenant_hypervisor] if settings.tenant_hypervisor else None
    guests = [_guest(inventory, host, segments) for host in inventory.guests]
    pinned = [login.known_hosts for login in (hypervisor.ssh, router.ssh) if login and login.known_hosts]
    return Contract(
        site=inventory.site,
        domain=domain,
        status=settings.status,
        authority=settings.authority,
        hypervisor=hypervisor,
        router=router,
        tenant_hypervisor=tenant.name if tenant else None,
        tenant_address=_fixed_addresses(tenant)[0] if tenant and _fixed_addresses(tenant) else None,
        segments=segments,
        guests=tuple(sorted(guests, key=lambda guest: (guest.start_order, guest.vmid))),
        reservations=tuple(_reservations(inventory)),
        records=tuple(_records(inventory, domain)),
        planned=dict(settings.planned),
        waivers=tuple(
            Waiver(one.clause, one.reason, one.owner, one.until, entry.declared, one.may_hold)
            for entry in inventory.waivers
            for one in [entry.waiver]
        ),
        exceptions=tuple(
            AllowedStranger(VmId(one.vmid), one.reason, one.until, inventory.at("mgmt_site", "exceptions", place))
            for place, one in enumerate(settings.exceptions)
        ),
        guest_deadline_s=settings.guest_deadline_s,
        backup_max_age_s=settings.backup_max_age_h * 3600,
        scratch_vmid=VmId(settings.scratch_vmid) if settings.scratch_vmid else None,
        drills=frozenset(settings.drills),
        known_hosts=(*dict.fromkeys(pinned), state_dir / "known_hosts"),
        state_dir=state_dir,
        scratch=_scratch(inventory, hypervisor, segments),
        drill_max_age_days=settings.drill_max_age_days,
        nested=resolve_nested(inventory, inventory.nested, hypervisor, router) if inventory.nested else None,
        tenant_networks=tuple(segments[name].subnet for name in settings.tenant_segments if name in segments),
        site_folder=inventory.folder,
    )


def _hypervisor(inventory: Inventory, host: Host) -> Hypervisor:
    said = host.hypervisor
    assert said is not None  # noqa: S101 - a sound inventory has it
    hardware, debian = said.hardware, said.debian
    top = "mgmt_hypervisor"
    return Hypervisor(
        name=host.name,
        fqdn=host.fqdn,
        node=said.node,
        address=_fixed_addresses(host)[0],
        api=_api(inventory, said.api),
        ssh=replace(
            _ssh(inventory, said.ssh),
            host_key_fingerprint=_text_or_reference(inventory, said.ssh.host_key_fingerprint),
            password=_secret(inventory, said.ssh.password) if said.ssh.password else None,
        ),
        pve_version=said.pve_version,
        debian_release=debian.release,
        debian_codename=debian.codename,
        architecture=debian.architecture,
        hardware=Hardware(
            pending=hardware.pending,
            memory_mib=hardware.memory_gib * 1024,
            disk_gb=hardware.disk_gb,
            disk_solid_state=hardware.solid_state,
            nic_speed_mbit=hardware.nic.speed_mbit,
            nic_model=hardware.nic.model,
            product=hardware.product,
            cpu_model=hardware.cpu.model if hardware.cpu else None,
            cores=hardware.cpu.cores if hardware.cpu else None,
            threads=hardware.cpu.threads if hardware.cpu else None,
        ),
        host_reserve_mib=said.host_reserve_gib * 1024,
        bridges=tuple(Bridge(name, one.port, tuple(one.segments)) for name, one in said.bridges.items()),
        storages=tuple(Storage(name, one.type, frozenset(one.content)) for name, one in said.storages.items()),
        pool=said.pool,
        templates={
            key: _template(inventory, said, key, one, host.at(top, "templates", key))
            for key, one in said.templates.items()
        },
        declared=host.at(top),
        packages=_packages(inventory, said.packages) if said.packages else None,
        time_servers=tuple(said.time.servers) if said.time else (),
        backup=_backup(said.backup) if said.backup else None,
        nested=said.nested,
        roles_after=tuple(said.roles_after),
    )


def _template(
    inventory: Inventory, hypervisor: models.Hypervisor, key: str, said: models.Template, declared: Declared
) -> Template:
    return Template(
        key=key,
        name=said.name,
        vmid=VmId(said.vmid) if said.vmid else None,
        storage=said.storage,
        os=said.os,
        build_mark=said.build_mark,
        user=said.user,
        declared=declared,
        image=_image(inventory, hypervisor, said.image) if said.image else None,
        factory=_factory(inventory, said.factory) if said.factory else None,
        max_disk_gib=said.max_disk_gib,
        accepts={str(check): reason for check, reason in said.accepts.items()},
    )


def _image(inventory: Inventory, hypervisor: models.Hypervisor, said: models.Image) -> Image:
    algorithm, _, checksum = (said.checksum or "").partition(":")
    takers = (name for name, storage in hypervisor.storages.items() if "import" in storage.content)
    return Image(
        file=_path(inventory, said.file),
        url=said.url,
        algorithm=algorithm,
        checksum=checksum.lower(),
        storage=said.storage or next(takers),
        memory_mib=said.memory_mib,
        cores=said.cores,
        cpu=said.cpu,
        bridge=said.bridge or next(iter(hypervisor.bridges)),
        checksum_file=_path(inventory, said.checksum_file),
    )


def _factory(inventory: Inventory, said: models.Factory) -> Factory:
    token = ApiToken(said.token.id, _secret(inventory, said.token.secret)) if said.token else None
    return Factory(folder=_path(inventory, said.folder) or Path(), file=said.file, token=token)


def _scratch(inventory: Inventory, hypervisor: Hypervisor, segments: Mapping[str, Segment]) -> Scratch | None:
    """On the bridge of its segment, as any VM there."""
    name = inventory.settings.scratch_host
    if name is None:
        return None
    host = inventory.hosts[name]
    claim = next(claim for claim in host.claims if claim.reserved)
    address = parse_address(claim.ip)
    segment = next(one for one in segments.values() if address in one.subnet)
    bridge = next(one.name for one in hypervisor.bridges if segment.name in one.segments)
    nic = Nic(
        key=claim.key,
        slot="net0",
        mac=normal_mac(claim.mac) or Mac(""),
        address=IPv4Interface(f"{address}/{segment.subnet.prefixlen}"),
        segment=segment,
        bridge=bridge,
        model="virtio",
        vlan_tag=None,
        declared=host.at("infrastructure", "interfaces", claim.key, "mac"),
    )
    return Scratch(name, nic)


def _packages(inventory: Inventory, said: models.Packages) -> Packages:
    return Packages(tuple(said.repositories), _path(inventory, said.key))


def _backup(said: models.BackupJob) -> BackupJob:
    return BackupJob(said.job, said.storage, said.schedule, said.keep.model_dump(exclude_none=True))


def _api(inventory: Inventory, said: models.Api) -> Api:
    return Api(
        url=said.url.rstrip("/"),
        ca_file=_path(inventory, said.ca_file),
        fingerprint=_text_or_reference(inventory, said.fingerprint),
        tokens={
            purpose: ApiToken(token.id, _secret(inventory, token.secret))
            for purpose, token in (("verify", said.tokens.verify), ("provision", said.tokens.provision))
            if token is not None
        },
    )


def _text_or_reference(inventory: Inventory, said: str | Secret | None) -> str | SecretRef | None:
    return said if isinstance(said, str | None) else _secret(inventory, said)


def _secret(inventory: Inventory, said: Secret) -> SecretRef:
    if said.file is not None:
        return SecretRef("file", str(_path(inventory, said.file)))
    if said.command is not None:
        return SecretRef("command", tuple(said.command), tuple(said.store) if said.store else None)
    return SecretRef("env", said.env) if said.env is not None else SecretRef("vault", said.vault or "")


def _ssh(inventory: Inventory, said: models.Ssh) -> Ssh:
    return Ssh(said.user, said.port, _path(inventory, said.identity_file), _path(inventory, said.known_hosts))


def _path(inventory: Inventory, said: str | None) -> Path | None:
    """Relative paths of the inventory start at the site's folder."""
    return None if said is None else (inventory.folder / Path(said).expanduser()).absolute()


def _fixed_addresses(host: Host) -> list[IPv4Address]:
    """Where the host is reached, as Ansible would: first the interface that is marked so, then any fixed address."""
    interfaces = sorted(host.env.interfaces.values(), key=lambda one: not one.ansible)
    return [address for one in interfaces if (address := parse_address(one.ip))]


def _router(inventory: Inventory, host: Host) -> Router:
    said = host.router
    address = _fixed_addresses(host)[0]
    return Router(
        name=host.name,
        kind=said.kind if said else None,
        address=address,
        dns=said.dns if said and said.dns else address,
        dns_port=said.dns_port if said else 53,
        ssh=_ssh(inventory, said.ssh) if said and said.ssh else None,
        declared=host.at("mgmt_router"),
        api=_router_api(inventory, said.api) if said and said.api else None,
    )


def _router_api(inventory: Inventory, said: models.RouterApi) -> RouterApi:
    return RouterApi(
        url=said.url.rstrip("/"),
        ca_file=_path(inventory, said.ca_file),
        fingerprint=_text_or_reference(inventory, said.fingerprint),
        key=_secret(inventory, said.key),
        secret=_secret(inventory, said.secret) if said.secret else None,
        release=said.release,
    )


def _guest(inventory: Inventory, host: Host, segments: Mapping[str, Segment]) -> Guest:
    vm = host.vm
    assert vm is not None  # noqa: S101 - a guest has it
    key, interface = next(iter(host.env.interfaces.items()))
    segment = segments[interface.segment or ""]
    return Guest(
        name=host.name,
        fqdn=host.fqdn,
        vmid=VmId(vm.vmid),
        category=vm.category,
        responsibilities=tuple(vm.responsibilities),
        template=vm.template,
        clone=vm.clone,
        storage=vm.storage,
        memory_mib=vm.memory_mib,
        cores=vm.cores,
        nic=Nic(
            key=key,
            slot="net0",  # the template has one NIC, and the guest one interface
            mac=Mac(host.infrastructure.interfaces[key].mac or ""),
            address=IPv4Interface(f"{interface.ip}/{segment.subnet.prefixlen}"),
            segment=segment,
            bridge=vm.bridge,
            model=vm.nic_model,
            vlan_tag=vm.vlan_tag,
            declared=host.at("infrastructure", "interfaces", key, "mac"),
        ),
        cnames=tuple(f"{name}.{inventory.domain}" for name in interface.dns.cnames or ()),
        start_order=vm.start_order,
        start_delay_s=vm.start_delay_s,
        services=tuple(_services(inventory, host, vm)),
        ssh=_ssh(inventory, vm.ssh),
        declared=host.at("mgmt_vm"),
        ephemeral_disks=frozenset(vm.ephemeral_disks),
    )


def _services(inventory: Inventory, host: Host, vm: models.Vm) -> Iterator[Service]:
    """Those of its responsibilities' workloads, then its own; what a VM says of a unit itself has precedence."""
    own = [_service(host, one, host.at("mgmt_vm", "services", place)) for place, one in enumerate(vm.services)]
    taken = {service.unit for service in own}
    for name in vm.responsibilities:
        workload = inventory.workloads.get(name)
        for place, one in enumerate(workload.services if workload else ()):
            if one.unit not in taken:
                taken.add(one.unit)
                at = inventory.at("mgmt_workloads", name, "services", place)
                yield replace(_service(host, one, at), assumed=workload.assumed if workload else None)
    yield from own


def _service(host: Host, said: workload_models.Service, declared: Declared) -> Service:
    health = said.health.replace("{fqdn}", host.fqdn).replace("{name}", host.name) if said.health else None
    return Service(said.unit, tuple(said.ports), health, tuple(said.udp_ports), declared=declared)


def _reservations(inventory: Inventory) -> Iterator[Reservation]:
    """One for each host that asks for it and whose MAC is known, ours or not: the router serves them all."""
    for host in inventory.hosts.values():
        for claim in host.claims:
            mac, address = normal_mac(claim.mac), parse_address(claim.ip)
            if claim.reserved and mac and address:
                yield Reservation(mac, address, host.name, host.at("infrastructure", "interfaces", claim.key, "mac"))
                break  # the owner's router roles take a host's first one


def _records(inventory: Inventory, domain: str) -> Iterator[Record]:
    """A and CNAME records of each host that asks for them; where two claim a name, ours has it."""
    taken: set[str] = set()
    for host in sorted(inventory.hosts.values(), key=lambda host: not host.ours):
        named = next((claim for claim in host.claims if claim.named and parse_address(claim.ip)), None)
        if named is None:
            continue
        at = host.at("env", "interfaces", named.key, "dns")
        aliases = (Record("CNAME", f"{name}.{domain}", host.fqdn, at) for name in named.cnames.values())
        for record in (Record("A", host.fqdn, named.ip, at), *aliases):
            if record.name not in taken:
                taken.add(record.name)
                yield record
