"""Take a shell command apart into the programs it would run, and refuse what is not understood."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field


class NotUnderstood(ValueError):
    """Something this reader of shell has no rule for; nothing is guessed about it."""


@dataclass(frozen=True)
class Word:
    """A word as the shell would see it after quoting; what it would put in for a variable or a command is missing."""

    text: str
    literal: bool  # no variable, no command in it
    globbed: bool = False  # the shell may make other words of it

    def __str__(self) -> str:
        return self.text


@dataclass
class Simple:
    """One program with its arguments, assignments before it, and where its streams go."""

    words: list[Word] = field(default_factory=list)
    assigned: list[tuple[str, Word]] = field(default_factory=list)
    redirected: list[tuple[str, Word]] = field(default_factory=list)  # operator and target
    here: str | None = None  # what it reads from the command itself


BLANK = " \t"
META = " \t\n;&|<>()"
# After these a command begins; after the others one has ended.
OPENING = frozenset({"if", "then", "elif", "else", "while", "until", "do", "!", "{"})
CLOSING = frozenset({"fi", "done", "}"})
NAME = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_")
OPERATORS = ("<<", ">>", "<&", ">&", "<>", ">|", "<", ">")


def parse_programs(text: str) -> tuple[Simple, ...]:
    """Every program that `text` could run, those of substitutions too; NotUnderstood when that cannot be said."""
    reader = _Reader(text)
    reader.read_list(until="")
    return tuple(reader.found)


class _Reader:
    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._heres: list[tuple[Simple, str]] = []
        self.found: list[Simple] = []

    def read_list(self, until: str) -> None:
        """Commands up to the closing parenthesis, or to the end where `until` is empty."""
        while True:
            self._skip(BLANK + "\n;&|")
            if not self._more():
                if until:
                    raise NotUnderstood(f"no {until} at the end")
                return
            if self._peek() == ")":
                if not until:
                    raise NotUnderstood("a parenthesis that was not opened")
                self._at += 1
                return
            self._read_command()

    def _read_command(self) -> None:
        simple = Simple()
        while self._more():
            self._skip(BLANK)
            here = self._peek()
            if here == "#":
                self._at = self._end_of_line()
            if not self._more() or self._peek() in "\n;&|)":
                break
            if here == "(":
                if simple.words:
                    raise NotUnderstood("a function")
                self._at += 1
                self.read_list(until=")")
            elif here in "<>":
                self._redirect(simple, "")
            elif self._text[self._at : self._at + 2] == "\\\n":
                self._at += 2
            elif self._take_word(simple):
                return
        self._keep(simple)
        if self._more() and self._peek() == "\n":
            self._read_heres()

    def _take_word(self, simple: Simple) -> bool:
        """Add the next word; whether it was one of the shell's own, after which a new command begins."""
        start = self._at
        word = self._word()
        raw = self._text[start : self._at]
        if raw.isdigit() and self._more() and self._peek() in "<>":
            self._redirect(simple, raw)
        elif not simple.words and not simple.assigned and raw in OPENING:
            return True
        elif not simple.words and not simple.assigned and raw in CLOSING:
            self._after_compound()
            return True
        elif not simple.words and raw in ("for", "case"):
            self._read_for() if raw == "for" else self._read_case()
            return True
        elif not simple.words and _is_assignment(raw):
            name, _, value = word.text.partition("=")
            simple.assigned.append((name, Word(value, word.literal, word.globbed)))
        else:
            simple.words.append(word)
        return False

    def _after_compound(self) -> None:
        """Only redirections may follow."""
        simple = Simple()
        self._skip(BLANK)
        while self._more() and (self._peek() in "<>" or self._peek().isdigit()):
            digits = self._take("0123456789")
            self._redirect(simple, digits)
            self._skip(BLANK)
        self._keep(simple)

    def _read_for(self) -> None:
        self._skip(BLANK)
        self._take("".join(NAME))
        self._skip(BLANK + "\n;")
        if self._text.startswith("in", self._at) and not self._text[self._at + 2 : self._at + 3].isalnum():
            self._at += 2
            self._skip(BLANK)
            while self._more() and self._peek() not in "\n;":
                self._word()
                self._skip(BLANK)

    def _read_case(self) -> None:
        self._skip(BLANK)
        self._word()
        self._skip(BLANK + "\n")
        if not self._text.startswith("in", self._at):
            raise NotUnderstood("a case without in")
        self._at += 2
        while True:
            self._skip(BLANK + "\n;(")
            if self._text.startswith("esac", self._at):
                self._at += 4
                return self._after_compound()
            while self._more() and self._peek() != ")":
                self._word()
                self._skip(BLANK + "|")
            self._at += 1
            while self._more() and not self._text.startswith(";;", self._at):
                self._skip(BLANK + "\n")
                if self._text.startswith("esac", self._at):
                    break
                if self._peek() == ")":
                    raise NotUnderstood("a parenthesis that was not opened")
                self._read_command()
                if not self._text.startswith(";;", self._at):
                    self._skip(BLANK + "\n;&|")
            if not self._more():
                raise NotUnderstood("a case without esac")

    def _redirect(self, simple: Simple, number: str) -> None:
        operator = next(one for one in OPERATORS if self._text.startswith(one, self._at))
        self._at += len(operator)
        if operator == "<<" and self._text[self._at : self._at + 1] in ("-", "<"):
            raise NotUnderstood("<<- and <<<")
        self._skip(BLANK)
        start = self._at
        target = self._word()
        if operator == "<<":
            if not self._text[start : self._at].startswith("'"):
                raise NotUnderstood("a here-document with variables")
            self._heres.append((simple, target.text))
        else:
            simple.redirected.append((number + operator, target))

    def _read_heres(self) -> None:
        for simple, end in self._heres:
            begin = self._at + 1
            found = self._text.find(f"\n{end}\n", self._at)
            if found < 0 and self._text.endswith(f"\n{end}"):
                found = len(self._text) - len(end) - 1
            if found < 0:
                raise NotUnderstood("a here-document without end")
            simple.here = self._text[begin:found]
            self._at = found + len(end) + 1
        self._heres.clear()

    def _word(self) -> Word:
        start, parts, literal, globbed = self._at, list[str](), True, False
        while self._more() and (char := self._peek()) not in META:
            if char == "'":
                parts.append(self._single())
            elif char == '"':
                text, plain = self._double()
                parts.append(text)
                literal = literal and plain
            elif char == "$":
                literal = self._variable(parts) and literal
            elif char == "`":
                raise NotUnderstood("a backquote")
            elif char == "\\":
                parts.append(self._escaped())
            else:
                globbed = globbed or char in "*?[{~"
                parts.append(char)
                self._at += 1
        if self._at == start:
            raise NotUnderstood(f"{self._text[start : start + 20]!r}")
        return Word("".join(parts), literal, globbed)

    def _single(self) -> str:
        end = self._text.find("'", self._at + 1)
        if end < 0:
            raise NotUnderstood("a quote without end")
        text, self._at = self._text[self._at + 1 : end], end + 1
        return text

    def _double(self) -> tuple[str, bool]:
        self._at += 1
        parts, literal = list[str](), True
        while self._more() and (char := self._peek()) != '"':
            if char == "`":
                raise NotUnderstood("a backquote")
            if char == "$":
                literal = self._variable(parts) and literal
            elif char == "\\" and self._text[self._at + 1 : self._at + 2] in ('"', "\\", "$", "`"):
                parts.append(self._escaped())
            else:
                parts.append(char)
                self._at += 1
        if not self._more():
            raise NotUnderstood("a quote without end")
        self._at += 1
        return "".join(parts), literal

    def _escaped(self) -> str:
        if self._at + 1 >= len(self._text):
            raise NotUnderstood("a backslash at the end")
        char = self._text[self._at + 1]
        self._at += 2
        return "" if char == "\n" else char

    def _variable(self, parts: list[str]) -> bool:
        """Pass over a variable or a command's output; whether it was only a dollar sign."""
        following = self._text[self._at + 1 : self._at + 2]
        if following == "(":
            if self._text.startswith("((", self._at + 1):
                raise NotUnderstood("arithmetic")
            self._at += 2
            self.read_list(until=")")
        elif following == "{":
            end = self._text.find("}", self._at)
            if end < 0 or set(self._text[self._at + 2 : end]) & set("`$(\"'\\{"):
                raise NotUnderstood("a variable with an expression")
            self._at = end + 1
        elif following in NAME and following:
            self._at += 1
            self._take("0123456789" if following.isdigit() else "".join(NAME))
        elif following and following in "?@*#!$-":
            self._at += 2
        elif following and following in "'\"":
            raise NotUnderstood("a quote after a dollar sign")
        else:
            parts.append("$")
            self._at += 1
            return True
        return False

    def _keep(self, simple: Simple) -> None:
        if simple.words or simple.assigned or simple.redirected:
            self.found.append(simple)

    def _skip(self, chars: str) -> None:
        self._take(chars)

    def _take(self, chars: str) -> str:
        start = self._at
        while self._more() and self._peek() in chars:
            self._at += 1
        return self._text[start : self._at]

    def _end_of_line(self) -> int:
        end = self._text.find("\n", self._at)
        return len(self._text) if end < 0 else end

    def _more(self) -> bool:
        return self._at < len(self._text)

    def _peek(self) -> str:
        return self._text[self._at]


def _is_assignment(raw: str) -> bool:
    name, mark, _ = raw.partition("=")
    return bool(mark and name) and not name[0].isdigit() and set(name) <= NAME


def words_of(programs: tuple[Simple, ...]) -> Iterator[Word]:
    """Every word that stands in them, with the targets of redirections."""
    for one in programs:
        yield from one.words
        yield from (target for _, target in one.redirected)
