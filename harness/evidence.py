"""Keep what was asked, what was answered and when, without ever keeping a secret."""

from __future__ import annotations

import re
import threading
import time
from dataclasses import dataclass, field

ANSWER_LIMIT_CHARS = 2000
HIDDEN = "[hidden]"

# Shapes that are secrets wherever they stand: API token headers, tickets, CSRF tokens, passwords, key blocks.
_SECRET_SHAPES = (
    re.compile(r"(PVEAPIToken=[^=\s]+=)\S+"),
    re.compile(r"(PVEAuthCookie=)\S+"),
    re.compile(r"(CSRFPreventionToken\"?[:=]\s*\"?)[^\s\",}]+"),
    re.compile(r"(\"?(?:password|cipassword|secret|ticket)\"?\s*[:=]\s*\"?)[^\s\",}]+"),
    re.compile(r"(-----BEGIN [A-Z ]*PRIVATE KEY-----).*?(?=-----END|\Z)", re.DOTALL),
)


class Secret:
    """A value that shows itself only to `reveal()`; `repr`, `str` and format hide it."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        return self._value

    def __repr__(self) -> str:
        return "Secret([hidden])"

    __str__ = __repr__

    def __format__(self, spec: str) -> str:
        return repr(self)

    def __reduce__(self) -> str:
        raise TypeError("a Secret is not pickled")


def hide_secrets(text: str) -> str:
    """`text` without anything that has the shape of a credential."""
    for shape in _SECRET_SHAPES:
        text = shape.sub(rf"\1{HIDDEN}", text)
    return text


@dataclass(frozen=True)
class Fact:
    """One question and its answer; `at` is seconds since the epoch."""

    source: str  # api, host, guest, router, net, inventory, drill
    asked: str
    answered: str
    at: float


@dataclass
class Evidence:
    """The facts of one run, in the order they were read; safe to share between threads."""

    facts: list[Fact] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def record(self, source: str, asked: str, answered: str, at: float | None = None) -> Fact:
        """Keep one exchange, by default of this moment; secrets are dropped and long answers cut on entry."""
        answer = hide_secrets(answered)
        if len(answer) > ANSWER_LIMIT_CHARS:
            answer = f"{answer[:ANSWER_LIMIT_CHARS]} … ({len(answer)} characters)"
        fact = Fact(source, hide_secrets(asked), answer, time.time() if at is None else at)
        with self._lock:
            self.facts.append(fact)
        return fact

    def answers_to(self, *asked: str) -> tuple[Fact, ...]:
        """The last fact for each of the given questions, in their order; unknown questions are left out."""
        with self._lock:
            last = {fact.asked: fact for fact in self.facts}
        return tuple(last[question] for question in asked if question in last)
