"""Change single entries in dnsmasq's files and leave every other line as somebody wrote it. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace

from harness import errors
from harness.contract import Contract, Record, Reservation
from harness.routers import dnsmasq
from harness.routers.dnsmasq_files import (
    RECORD_OPTIONS,
    Served,
    clean,
    clean_lines,
    parse_host,
    parse_hosts_line,
    parse_option,
    parse_record_option,
)
from harness.routers.port import Changes

# The router's own names stand there too, and whatever else reads that file.
OWN_HOSTS = "/etc/hosts"


@dataclass
class _Texts:
    """The files as they come to be; `sections` tells what kind of lines a file has."""

    router: str
    texts: dict[str, str]
    config: tuple[str, ...]
    reservations: tuple[str, ...]
    names: tuple[str, ...]


def edit(contract: Contract, served: Served, there: Mapping[str, str], changes: Changes) -> Mapping[str, str]:
    """The new text of each file that changes, by path; `there` are our files that exist, served or not."""
    before = {**there, **served.config, **served.reservations, **served.names}
    texts = _Texts(
        contract.router.name, dict(before), tuple(served.config), tuple(served.reservations), tuple(served.names)
    )
    for reservation in changes.remove_reservations:
        _remove_reservation(texts, reservation)
    for record in changes.remove_records:
        _remove_record(texts, record)
    _add(contract, texts, changes)
    return {path: text for path, text in texts.texts.items() if before.get(path) != text}


def may_change(contract: Contract, served: Served) -> Mapping[str, str]:
    """The files with an entry of a declared MAC or name: whatever an edit may ever change, besides our own."""
    macs = {one.mac for one in contract.reservations}
    names = {one.name for one in contract.reservations} | {record.name for record in contract.records}

    def is_ours(entry: Reservation | Record) -> bool:
        plain = entry.name.lower().rstrip(".")
        known = {plain, plain.removesuffix(f".{contract.domain}")} & names
        return bool(known) or (isinstance(entry, Reservation) and entry.mac in macs)

    def entries(path: str, line: str) -> tuple[Reservation | Record, ...]:
        if path in served.config:
            option, value = parse_option(line)
            return parse_host(value) if option == "dhcp-host" else parse_record_option(option, value)
        return parse_host(line) if path in served.reservations else parse_hosts_line(line)

    texts = {**served.config, **served.reservations, **served.names}
    return {
        path: text
        for path, text in texts.items()
        if path != OWN_HOSTS and any(is_ours(entry) for line in clean_lines(text) for entry in entries(path, line))
    }


# --- take away ---------------------------------------------------------------------------------------------------


def _remove_reservation(texts: _Texts, gone: Reservation) -> None:
    def in_config(line: str) -> str | None:
        option, value = parse_option(clean(line))
        if option != "dhcp-host" or gone not in parse_host(value):
            return None
        rest = _without_mac(value, gone)
        return f"dhcp-host={rest}" if rest else ""

    def in_hosts_file(line: str) -> str | None:
        return _without_mac(clean(line), gone) if gone in parse_host(clean(line)) else None

    if not (_rewrite(texts, texts.reservations, in_hosts_file) or _rewrite(texts, texts.config, in_config)):
        raise _not_in_a_file(texts.router, f"the reservation {gone.mac} -> {gone.address}")


def _without_mac(value: str, gone: Reservation) -> str:
    """A line may reserve one address for several MACs; the others keep it."""
    fields = [part.strip() for part in value.split(",")]
    rest = [part for part in fields if not part.lower().endswith(gone.mac)]
    return ",".join(rest) if parse_host(",".join(rest)) else ""


def _remove_record(texts: _Texts, gone: Record) -> None:
    def in_config(line: str) -> str | None:
        option, value = parse_option(clean(line))
        made = parse_record_option(option, value) if option in RECORD_OPTIONS else ()
        if gone not in made:
            return None
        if len(made) == 1:
            return ""
        if len({record.target for record in made}) > 1:
            raise _by_hand(texts.router, f"the line {clean(line)!r} gives {gone.name} several addresses")
        separator = "/" if option == "address" else ","
        rest = [part for part in value.split(separator) if part.strip().lower().rstrip(".") != gone.name]
        return f"{option}={separator.join(rest)}"

    def in_names(line: str) -> str | None:
        if not clean(line) or gone not in parse_hosts_line(clean(line)):
            return None
        address, *names = clean(line).split()
        rest = [name for name in names if name.lower().rstrip(".") != gone.name]
        return f"{address} {' '.join(rest)}" if rest else ""

    own = [path for path in texts.names if path != OWN_HOSTS]
    if not (_rewrite(texts, own, in_names) or _rewrite(texts, texts.config, in_config)):
        if _rewrite(texts, [OWN_HOSTS] if OWN_HOSTS in texts.names else [], in_names):
            raise _by_hand(texts.router, f"{gone.type} {gone.name} -> {gone.target} comes from its own {OWN_HOSTS}")
        raise _not_in_a_file(texts.router, f"{gone.type} {gone.name} -> {gone.target}")


def _rewrite(texts: _Texts, paths: tuple[str, ...] | list[str], change: Callable[[str], str | None]) -> bool:
    """Change the last line that `change` knows (None: not that one, empty: away with it): the first one counts."""
    for path in reversed(paths):
        lines = texts.texts[path].splitlines()
        for place in reversed(range(len(lines))):
            new = change(lines[place])
            if new is not None:
                lines[place : place + 1] = [new] if new else []
                texts.texts[path] = "".join(f"{line}\n" for line in lines)
                return True
    return False


# --- put in ------------------------------------------------------------------------------------------------------


def _add(contract: Contract, texts: _Texts, changes: Changes) -> None:
    aliases = [record for record in changes.add_records if record.type == "CNAME"]
    addresses = [record for record in changes.add_records if record.type == "A"]
    empty = dnsmasq.render(replace(contract, reservations=(), records=()))
    main = dnsmasq.main_file(contract.site)
    _append(texts, dnsmasq.RESERVATIONS_FILE, empty, map(dnsmasq.reservation_line, changes.add_reservations))
    _append(texts, dnsmasq.DNS_FILE, empty, map(dnsmasq.address_line, addresses))
    if main not in texts.texts:
        texts.texts[main] = dnsmasq.render(replace(contract, records=tuple(aliases)))[main]
        return
    lacks = [
        line
        for line, path, known in (
            (dnsmasq.RESERVATIONS_LINE, dnsmasq.RESERVATIONS_FILE, texts.reservations),
            (dnsmasq.NAMES_LINE, dnsmasq.DNS_FILE, texts.names),
        )
        if path in texts.texts and path not in known and line not in texts.texts[main].splitlines()
    ]
    _append(texts, main, empty, [*lacks, *map(dnsmasq.alias_line, aliases)])


def _append(texts: _Texts, path: str, empty: Mapping[str, str], lines: Iterable[str]) -> None:
    added = "".join(f"{line}\n" for line in lines)
    if added:
        text = texts.texts.get(path, empty[path])
        texts.texts[path] = text + ("" if text.endswith("\n") or not text else "\n") + added


# --- what a person has to do -------------------------------------------------------------------------------------


def _by_hand(router: str, happened: str) -> errors.Unsafe:
    return errors.Unsafe(
        tried="change dnsmasq's files", on=router, happened=f"{happened}; nothing was changed", do="Change it by hand"
    )


def _not_in_a_file(router: str, what: str) -> errors.Unsafe:
    return _by_hand(router, f"{what} stands in no file that is dnsmasq's, so it is on its command line")
