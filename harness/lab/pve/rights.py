"""Say who may do what: roles, ACL inheritance, pools and separated tokens, refused in PVE's words."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from .failures import ApiError, died, forbidden
from .state import State

_VM_CONFIG = ("CDROM", "CPU", "Cloudinit", "Disk", "HWType", "Memory", "Network", "Options")
_VM_ADMIN = (
    *(f"VM.{name}" for name in ("Allocate", "Audit", "Backup", "Clone", "Console", "Migrate", "Monitor", "PowerMgmt")),
    *(f"VM.Config.{name}" for name in _VM_CONFIG),
    "VM.Snapshot",
    "VM.Snapshot.Rollback",
)
_VM_USER = ("VM.Audit", "VM.Backup", "VM.Config.CDROM", "VM.Config.Cloudinit", "VM.Console", "VM.PowerMgmt")
_DATASTORE = ("Datastore.Allocate", "Datastore.AllocateSpace", "Datastore.AllocateTemplate", "Datastore.Audit")
_SDN = ("SDN.Allocate", "SDN.Audit", "SDN.Use")
_MAPPING = ("Mapping.Audit", "Mapping.Modify", "Mapping.Use")
_USER_ADMIN = ("Group.Allocate", "Realm.AllocateUser", "User.Modify")
_SYS = ("Sys.AccessNetwork", "Sys.Audit", "Sys.Console", "Sys.Incoming", "Sys.Modify", "Sys.PowerMgmt", "Sys.Syslog")
_POOL = ("Pool.Allocate", "Pool.Audit")
PRIVILEGES = frozenset(
    (*_VM_ADMIN, *_DATASTORE, *_SDN, *_MAPPING, *_USER_ADMIN, *_SYS, *_POOL, "Permissions.Modify", "Realm.Allocate")
)
SPECIAL_ROLES: Mapping[str, frozenset[str]] = {
    "Administrator": PRIVILEGES,
    "NoAccess": frozenset(),
    "PVEAdmin": PRIVILEGES
    - {"Permissions.Modify", "Realm.Allocate", "Mapping.Modify"}
    - (set(_SYS) - {"Sys.Audit", "Sys.Console", "Sys.Syslog"}),
    "PVEAuditor": frozenset(privilege for privilege in PRIVILEGES if privilege.endswith(".Audit")),
    "PVEDatastoreAdmin": frozenset(_DATASTORE),
    "PVEDatastoreUser": frozenset(("Datastore.AllocateSpace", "Datastore.Audit")),
    "PVEMappingAdmin": frozenset(_MAPPING),
    "PVEMappingUser": frozenset(("Mapping.Audit", "Mapping.Use")),
    "PVEPoolAdmin": frozenset(_POOL),
    "PVEPoolUser": frozenset(("Pool.Audit",)),
    "PVESDNAdmin": frozenset(_SDN),
    "PVESDNUser": frozenset(("SDN.Audit", "SDN.Use")),
    "PVESysAdmin": frozenset(("Sys.Audit", "Sys.Console", "Sys.Syslog")),
    "PVETemplateUser": frozenset(("VM.Audit", "VM.Clone")),
    "PVEUserAdmin": frozenset(_USER_ADMIN),
    "PVEVMAdmin": frozenset(_VM_ADMIN),
    "PVEVMUser": frozenset(_VM_USER),
}
ROOT = "root@pam"
_TOP_PATHS = ("/", "/access", "/access/groups", "/nodes", "/pool", "/sdn", "/storage", "/vms")


class Rights:
    """Effective privileges, computed from the state at every question as nothing here is asked often."""

    def __init__(self, state: State) -> None:
        self._state = self.state = state

    def role(self, name: str) -> frozenset[str] | None:
        """The privileges of a role, None when there is none of that name."""
        if name in SPECIAL_ROLES:
            return SPECIAL_ROLES[name]
        privileges = self._state["roles"].get(name)
        return None if privileges is None else frozenset(privileges)

    def permissions(self, user: str, path: str) -> dict[str, int]:
        """Privilege -> 1 when it also holds below `path`, 0 when for `path` alone."""
        if user == ROOT:
            return dict.fromkeys(PRIVILEGES, 1)
        owner, _, token = user.partition("!")
        if not token:
            return self._privileges(user, path)
        record = self._state["users"].get(owner, {}).get("tokens", {}).get(token)
        if record is None:
            return {}
        of_owner = self.permissions(owner, path)
        if not record.get("privsep", 1):
            return of_owner
        of_token = self._privileges(user, path)
        return {name: flag & of_owner[name] for name, flag in of_token.items() if name in of_owner}

    def _privileges(self, user: str, path: str) -> dict[str, int]:
        roles = self._roles(user, path)
        pool = self._pool_of(path)
        if pool is not None and "NoAccess" not in roles:
            # What a pool's ACL grants holds for its members and for nothing below them.
            roles |= {role: 0 for role in self._roles(user, f"/pool/{pool}") if role not in roles}
        if "NoAccess" in roles:
            return {}
        found: dict[str, int] = {}
        for role, propagate in roles.items():
            for privilege in self.role(role) or ():
                found[privilege] = found.get(privilege, 0) | propagate
        return found

    def _roles(self, user: str, path: str) -> dict[str, int]:
        """The roles of the deepest entry that holds for `path`; a user's own entry beats those of groups."""
        is_token = "!" in user
        groups = [] if is_token else self._state["users"].get(user, {}).get("groups", [])
        roles: dict[str, int] = {}
        for step in _steps(path):
            entry = self._state["acl"].get(step, {})

            def holding(granted: Mapping[str, int], *, final: bool = step == path) -> dict[str, int]:
                return {role: propagate for role, propagate in granted.items() if final or propagate}

            own = holding(entry.get("tokens" if is_token else "users", {}).get(user, {}))
            of_groups: dict[str, int] = {}
            for group in groups:
                of_groups |= holding(entry.get("groups", {}).get(group, {}))
            roles = own or of_groups or roles
        return roles

    def _pool_of(self, path: str) -> str | None:
        kind, _, name = path.removeprefix("/").partition("/")
        for poolid, pool in self._state["pools"].items():
            if (kind == "vms" and name in map(str, pool["vms"])) or (kind == "storage" and name in pool["storage"]):
                return str(poolid)
        return None

    def check(self, user: str, path: str, *privileges: str) -> None:
        """All of them are held; the first that is not is named."""
        held = self.permissions(user, path)
        for privilege in privileges:
            if privilege not in held:
                raise forbidden(f"{path}, {privilege}")

    def check_any(self, user: str, path: str, *privileges: str) -> None:
        if not self.has_any(user, path, *privileges):
            raise forbidden(f"{path}, {'|'.join(privileges)}")

    def has(self, user: str, path: str, *privileges: str) -> bool:
        return set(privileges) <= self.permissions(user, path).keys()

    def has_any(self, user: str, path: str, *privileges: str) -> bool:
        return bool(set(privileges) & self.permissions(user, path).keys())

    def check_acl_change(self, user: str, path: str) -> None:
        self.check_any(user, path, *acl_change_privileges(path))

    def check_pool_exists(self, pool: str) -> None:
        if pool not in self._state["pools"]:
            raise forbidden(f"pool '{pool}' does not exist")

    def visible_users(self, user: str, *privileges: str) -> set[str]:
        """The users that `user` may see by a right over all groups or over one of theirs."""
        users = self._state["users"]
        if self.has_any(user, "/access/groups", *privileges):
            return set(users)
        groups = {
            group for group in self._state["groups"] if self.has_any(user, f"/access/groups/{group}", *privileges)
        }
        return {name for name, record in users.items() if groups & set(record.get("groups", []))}

    def paths_of_interest(self) -> Iterable[str]:
        """Where GET /access/permissions looks: the top, every ACL entry, every pool and pool member."""
        paths = {*_TOP_PATHS, *self._state["acl"]}
        for poolid, pool in self._state["pools"].items():
            paths.add(f"/pool/{poolid}")
            paths |= {f"/vms/{vmid}" for vmid in pool["vms"]} | {f"/storage/{name}" for name in pool["storage"]}
        return paths


def acl_change_privileges(path: str) -> tuple[str, ...]:
    for prefix, privilege in (
        ("/storage/", "Datastore.Allocate"),
        ("/vms/", "VM.Allocate"),
        ("/pool/", "Pool.Allocate"),
    ):
        if path.startswith(prefix):
            return ("Permissions.Modify", privilege)
    return ("Permissions.Modify",)


def _steps(path: str) -> list[str]:
    """`/`, `/vms`, `/vms/100` for `/vms/100`."""
    steps = ["/"]
    walked = ""
    for part in path.strip("/").split("/"):
        if part:
            walked += f"/{part}"
            steps.append(walked)
    return steps


# What a call needs before its parameters are looked at; raises when it is not there.
Need = Callable[[Rights, str, Mapping[str, Any]], None]


def anybody_logged_in(rights: Rights, user: str, params: Mapping[str, Any]) -> None:
    """Nothing is needed; the call itself filters what it shows."""


def root_only(rights: Rights, user: str, params: Mapping[str, Any]) -> None:  # noqa: ARG001 - one shape for all needs
    raise forbidden("user != root@pam")  # root@pam itself is never asked


def perm(template: str, *privileges: str, any_of_them: bool = False, only_with: str | None = None) -> Need:
    """The privileges on a path whose braces are filled from the parameters; refused without parameter `only_with`."""

    def need(rights: Rights, user: str, params: Mapping[str, Any]) -> None:
        if only_with is not None and only_with not in params:
            raise forbidden()
        path = template.format_map({name: str(value) for name, value in params.items()} | _MISSING)
        if any_of_them:
            rights.check_any(user, path, *privileges)
        else:
            rights.check(user, path, *privileges)

    return need


class _Missing(dict[str, str]):
    """A needed parameter that was not sent: PVE asks for the privilege first and complains afterwards."""

    def __missing__(self, key: str) -> str:
        return ""

    def __ror__(self, other: Any) -> Any:
        return _Missing(other)


_MISSING = _Missing()


def either(*needs: Need) -> Need:
    """One of them; PVE then names none."""

    def need(rights: Rights, user: str, params: Mapping[str, Any]) -> None:
        if not any(holds(one, rights, user, params) for one in needs):
            raise forbidden()

    return need


def both(*needs: Need) -> Need:
    def need(rights: Rights, user: str, params: Mapping[str, Any]) -> None:
        for one in needs:
            one(rights, user, params)

    return need


def holds(need: Need, rights: Rights, user: str, params: Mapping[str, Any]) -> bool:
    try:
        need(rights, user, params)
    except ApiError:
        return False
    return True


def check_user_exists(state: State, userid: str) -> None:
    if userid not in state["users"]:
        raise died(f"no such user ('{userid}')")
