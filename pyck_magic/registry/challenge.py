"""What a registry wants to be told before it answers: WWW-Authenticate headers, read.

Runs in:    the notebook kernel, or the `pyck` command. Pure.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

_TOKEN = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_SCHEME = re.compile(rf"[\s,]*({_TOKEN})(?=\s|,|$)")
_PARAMETER = re.compile(rf'[\s,]*({_TOKEN})\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,"]*))')


@dataclass(frozen=True, slots=True)
class Challenge:
    """One way to prove who we are: its scheme, in lower case, and its parameters."""

    scheme: str
    parameters: dict[str, str] = field(default_factory=dict)


def challenges(headers: Iterable[str]) -> list[Challenge]:
    """All challenges of an answer (RFC 9110, 11.6.1). What follows something malformed is not read."""
    found: list[Challenge] = []
    for header in headers:
        at = 0
        inside = False
        while at < len(header):
            if inside and (parameter := _PARAMETER.match(header, at)):
                name, quoted, plain = parameter.groups()
                value = plain if quoted is None else re.sub(r"\\(.)", r"\1", quoted)
                found[-1].parameters.setdefault(name.lower(), value)
                at = parameter.end()
            elif scheme := _SCHEME.match(header, at):
                found.append(Challenge(scheme[1].lower()))
                inside = True
                at = scheme.end()
            else:
                break
    return found
