"""From words to a request: Docker's rules for options (Go's pflag), for every verb of the table.

Runs in: the notebook kernel, or the `pyck` command. No argparse: importing it takes longer than all of this.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from pyck_magic.commands import values
from pyck_magic.commands.options import (
    CELL,
    GROUPS,
    INSTEAD,
    INSTEAD_SHORT,
    INSTEAD_VERB,
    VERBS,
    Option,
    Verb,
    options_of,
    verb_named,
)
from pyck_magic.model.errors import BadOption, BadRequest


class Parsed(NamedTuple):
    """A command line, understood. `given` has the options that were there; `wants_help` if --help was among them."""

    verb: str
    given: Mapping[str, Any]
    operands: tuple[str, ...]
    wants_help: bool = False

    def flag(self, name: str) -> bool:
        """Was this flag given (and not as `--flag=false`)?"""
        return bool(self.given.get(name, False))

    def all(self, name: str) -> tuple[Any, ...]:
        """Every value of a repeatable option, in order."""
        return tuple(self.given.get(name, ()))


def parse(argv: Sequence[str]) -> Parsed:
    """A whole command line: `["run", "--rm", "alpine", "true"]`. Nothing at all is a call for help.

    Raises BadRequest for an unknown verb or a wrong number of operands, BadOption for everything about options.
    """
    if not argv or argv[0] in ("-h", "--help"):
        return Parsed("help", {}, ())
    if argv[0] in ("-v", "--version"):
        return Parsed("version", {}, ())
    words = 2 if argv[0] in GROUPS else 1
    name = " ".join(argv[:words])
    verb = verb_named(name)
    if verb is None or verb.name == CELL:
        raise _unknown_verb(name)
    parsed = scan(verb, argv[words:])
    if not parsed.wants_help:
        _count(verb, parsed.operands)
    return parsed


def scan(verb: Verb, words: Sequence[str]) -> Parsed:
    """Sort words into options and operands. `--` ends the options; for `run` the image does."""
    return _Scanner(verb).scan(words)


class _Scanner:
    def __init__(self, verb: Verb) -> None:
        self._verb = verb
        self._long = {option.name: option for option in options_of(verb.name)}
        self._short = {option.short: option for option in self._long.values() if option.short}
        self._given: dict[str, Any] = {}
        self._rest: list[str] = []

    def scan(self, words: Sequence[str]) -> Parsed:
        operands: list[str] = []
        self._rest = list(words)
        while self._rest:
            word = self._rest.pop(0)
            if word == "--":
                operands += self._rest
                break
            if word == "--help" or (word == "-h" and "h" not in self._short):
                return Parsed(self._verb.name, self._given, (), wants_help=True)
            if word.startswith("--"):
                self._take_long(word)
            elif word.startswith("-") and len(word) > 1:
                self._take_short(word)
            else:
                operands.append(word)
                # A cell has no command of its own, so options may follow its image, up to the interpreter.
                if self._verb.options_end_at_first or (self._verb.name == CELL and len(operands) == 2):
                    operands += self._rest
                    break
        return Parsed(self._verb.name, self._given, tuple(operands))

    def _take_long(self, word: str) -> None:
        name, equals, value = word[2:].partition("=")
        option = self._long.get(name)
        if option is None:
            raise BadOption(f"unknown flag: --{name}", hint=self._instead(name) or self._near(name))
        if equals:
            self._set(option, value)
        elif not option.metavar:
            self._set(option, "true")
        elif self._rest:
            self._set(option, self._rest.pop(0))
        else:
            raise BadOption(f"flag needs an argument: --{name}", hint=f"--{name} {option.metavar}")

    def _take_short(self, word: str) -> None:
        """`-it`, `-eX=1`, `-e X=1`, `-e=X=1`."""
        letters = word[1:]
        while letters:
            letter, letters = letters[0], letters[1:]
            option = self._short.get(letter)
            if option is None:
                hint = self._instead(INSTEAD_SHORT.get(letter, "")) or self._see_help()
                raise BadOption(f"unknown shorthand flag: {letter!r} in {word}", hint=hint)
            if letters.startswith("="):
                return self._set(option, letters[1:])
            if not option.metavar:
                self._set(option, "true")
            elif letters:
                return self._set(option, letters)
            elif self._rest:
                return self._set(option, self._rest.pop(0))
            else:
                raise BadOption(f"flag needs an argument: {letter!r} in {word}", hint=f"-{letter} {option.metavar}")
        return None

    def _set(self, option: Option, text: str) -> None:
        try:
            value = option.parse(text) if option.metavar else values.switch(text)
        except BadOption as error:
            raise BadOption(f'invalid argument "{text}" for "{option.flags}" flag: {error}', hint=error.hint) from None
        if option.name in self._given and option.name in ("out", "err"):
            raise BadOption(f"--{option.name} is given twice", hint="one stream becomes one variable")
        if option.repeatable:
            self._given.setdefault(option.name, []).append(value)
        else:
            self._given[option.name] = value

    def _instead(self, name: str) -> str:
        return INSTEAD.get(name, "") if self._verb.name in ("run", CELL) else ""

    def _near(self, name: str) -> str:
        near = nearest(name, self._long)
        return f"did you mean --{near}?" if near else self._see_help()

    def _see_help(self) -> str:
        return "`%%container --help` lists them" if self._verb.name == CELL else f"`{self._verb.name} --help` lists them"


def nearest(word: str, known: Mapping[str, object] | Sequence[str]) -> str:
    """The known word most like this one; empty when none is."""
    from difflib import get_close_matches  # only mistakes pay for it

    return next(iter(get_close_matches(word, list(known), n=1, cutoff=0.6)), "")


def _unknown_verb(word: str) -> BadRequest:
    near = nearest(word, [verb.name for verb in VERBS])
    hint = INSTEAD_VERB.get(word) or (f"did you mean {near}?" if near else "`pyck help` lists the commands")
    return BadRequest(f"unknown command: {word}", hint=hint)


def _count(verb: Verb, operands: Sequence[str]) -> None:
    if verb.least <= len(operands) and (verb.most is None or len(operands) <= verb.most):
        return
    if verb.most == 0:
        raise BadRequest(f"{verb.name!r} accepts no arguments", hint=f"leave out {operands[0]!r}")
    wanted = f"at most {verb.most}" if not verb.least else f"at least {verb.least}" if verb.most is None else f"{verb.least}"
    raise BadRequest(
        f"{verb.name!r} requires {wanted} argument{'s' if verb.least > 1 else ''}", hint=f"{verb.name} [OPTIONS] {verb.operands}"
    )


def complete(words: Sequence[str], verb: str | None = None) -> list[str]:
    """What the last word could become: verbs, options and the fixed values of options. `verb` is "cell" for a cell's line."""
    if verb is None:
        if len(words) < 2:
            start = words[0] if words else ""
            return [known.name for known in VERBS if known.name.startswith(start)]
        verb, words = words[0], words[1:]
    options = options_of(verb)
    last = words[-1] if words else ""
    name, equals, start = last.partition("=")
    before = words[-2] if len(words) > 1 else ""
    for option in options:
        spellings = (f"--{option.name}", f"-{option.short}" if option.short else "")
        if equals and name == spellings[0]:
            return [f"{name}={choice}" for choice in option.choices if choice.startswith(start)]
        if before in spellings and before and option.metavar:
            return [choice for choice in option.choices if choice.startswith(last)]
    return [f"--{option.name}" for option in options if last.startswith("-") and f"--{option.name}".startswith(last)]
