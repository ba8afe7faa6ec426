"""One call of the API as the code behind it sees it, and the description of a path that can be called."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from .rights import Need, anybody_logged_in
from .schema import Param

if TYPE_CHECKING:
    from .simulator import Simulator


@dataclass(frozen=True)
class Call:
    """Who calls what with which checked parameters; `sent` keeps them as they came."""

    sim: Simulator
    user: str
    params: Mapping[str, Any]
    sent: Mapping[str, Any]

    @property
    def is_root(self) -> bool:
        return self.user == "root@pam"

    @property
    def vmid(self) -> int:
        return int(self.params["vmid"])

    def check(self, path: str, *privileges: str) -> None:
        self.sim.rights.check(self.user, path, *privileges)

    def may(self, path: str, *privileges: str) -> bool:
        return self.sim.rights.has(self.user, path, *privileges)

    def may_any(self, path: str, *privileges: str) -> bool:
        return self.sim.rights.has_any(self.user, path, *privileges)


@dataclass(frozen=True)
class Answer:
    """Data with something beside it in the envelope (`total` of lists that can be paged)."""

    data: object
    extra: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True)
class Route:
    """A method and path template; `locked` calls run alone, the others lock what they change themselves."""

    method: str
    template: str
    run: Callable[[Call], object]
    params: Mapping[str, Param] = field(default_factory=dict)
    need: Need = anybody_logged_in
    takes_token: bool = True
    locked: bool = True
    root_only_params: tuple[str, ...] = ()
