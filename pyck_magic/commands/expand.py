"""Words of a magic's line: shell quoting, and `{name}` for a Python value. `$` is never touched.

Runs in: the notebook kernel.
"""

import io
import re
import shlex
from collections.abc import Mapping
from typing import Any

from pyck_magic.model.errors import BadRequest

_FIELD = re.compile(r"([^\W\d]\w*)((?:\.[^\W\d]\w*|\[[^\[\]]+\])*)")
_STEP = re.compile(r"\.(\w+)|\[([^\[\]]+)\]")
_BRACES = re.compile(r"\{\{|\}\}|\{([^{}]*)\}|\{|\}")


def split_line(line: str, variables: Mapping[str, object]) -> "list[Word]":
    """The words of a line, as a POSIX shell would split them, then with Python values in place of `{name}`.

    A value stays within its word, blanks and quotes included. Raises BadRequest for an open quote or an unknown name.
    """
    characters = io.StringIO(line)
    reader = shlex.shlex(characters, posix=True)
    reader.whitespace_split, reader.commenters = True, ""
    words: list[Word] = []
    try:
        while True:
            before = characters.tell()
            word = reader.get_token()
            if word is None:
                return words
            words.append(Word(expand(word, variables), line[before : characters.tell()].strip()))
    except ValueError as error:
        raise BadRequest(f"the line cannot be split into words: {str(error).lower()}", hint="close the quote") from None


class Word(str):
    """A word, and how it was written: quotes that the shell's rules take away may have been Python's."""

    raw: str

    def __new__(cls, text: str, raw: str) -> "Word":
        made = super().__new__(cls, text)
        made.raw = raw
        return made


def expand(word: str, variables: Mapping[str, object]) -> str:
    """Put values in place of `{name}`, `{name.attribute}` and `{name[key]}`; `{{` and `}}` are braces. Raises BadRequest."""

    def replace(found: re.Match[str]) -> str:
        text = found.group()
        if text in ("{{", "}}"):
            return text[0]
        if found.group(1) is None:
            raise BadRequest(f"a single {text} in {word!r}", hint="write {{ and }} for braces that are meant as such")
        return str(_value(found.group(1), variables))

    return _BRACES.sub(replace, word)


def _value(field: str, variables: Mapping[str, object]) -> Any:
    matched = _FIELD.fullmatch(field)
    if matched is None:
        raise BadRequest(
            f"{{{field}}} is no Python name", hint="{name}, {name.attribute} or {name[key]}; write {{ and }} for plain braces"
        )
    name, path = matched.groups()
    if name not in variables:
        raise BadRequest(
            f"{{{field}}}: no variable is called {name!r}", hint="define it first, or write {{ and }} for plain braces"
        )
    value: Any = variables[name]
    for attribute, key in _STEP.findall(path):
        if attribute.startswith("_"):
            raise BadRequest(f"{{{field}}}: {attribute} is private", hint="put its value into a variable")
        try:
            value = getattr(value, attribute) if attribute else value[int(key) if re.fullmatch(r"-?\d+", key) else key]
        except (AttributeError, LookupError, TypeError, ValueError) as error:
            reason = f"{type(error).__name__}: {error}"
            raise BadRequest(f"{{{field}}} has no value: {reason}", hint=f"look at {name!r} in a cell of its own") from None
    return value
