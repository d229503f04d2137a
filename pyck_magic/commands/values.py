"""What may stand behind an option: each function turns one word into a value, or says why it is none.

Runs in: the notebook kernel, or the `pyck` command. Raises BadOption with the reason alone; the parser names the option.
"""

import os
import re
from collections.abc import Callable

from pyck_magic.model import names
from pyck_magic.model.errors import BadOption
from pyck_magic.model.options import Volume

_HOSTNAME = re.compile(r"[a-zA-Z0-9]([a-zA-Z0-9-]*[a-zA-Z0-9])?(\.[a-zA-Z0-9]([a-zA-Z0-9-]*[a-zA-Z0-9])?)*")
_DURATION = re.compile(r"(\d+(?:\.\d*)?|\.\d+)(ms|s|m|h)")
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
# SELinux relabelling and the caching hints of Docker Desktop change nothing on the file systems we mount.
_VOLUME_MODES = {"ro", "rw", "z", "Z", "cached", "delegated", "consistent"}
_TRUE = {"1", "t", "T", "true", "TRUE", "True"}
_FALSE = {"0", "f", "F", "false", "FALSE", "False"}


def one_of(*choices: str, hint: str = "") -> Callable[[str], str]:
    """A parser that accepts exactly these words."""

    def parse(text: str) -> str:
        if text not in choices:
            raise BadOption("no such choice", hint=hint or f"it is one of {', '.join(choices)}")
        return text

    return parse


def switch(text: str) -> bool:
    """The value in `--rm=false`, as Go's strconv.ParseBool reads it."""
    if text in _TRUE or text in _FALSE:
        return text in _TRUE
    raise BadOption("must be true or false")


def filled(text: str) -> str:
    """Anything but nothing."""
    if not text or "\0" in text:
        raise BadOption("must not be empty")
    return text


def untouched(text: str) -> str:
    """Whatever it is, in whatever form it comes."""
    return text


def container_name(text: str) -> str:
    """A container's name, by Docker's rule."""
    if not names.is_name(text):
        raise BadOption("a name is two or more of a-z A-Z 0-9 _ . - and begins with a letter or digit")
    return text


def hostname(text: str) -> str:
    """A host name (RFC 1123), at most the 64 characters that sethostname(2) takes."""
    if len(text) > 64 or not _HOSTNAME.fullmatch(text):
        raise BadOption("not a host name", hint="letters, digits, dots and inner hyphens, at most 64 of them")
    return text


def platform(text: str) -> str:
    """`linux/arm64/v8`, checked and kept as it was written."""
    from pyck_magic.model.errors import BadRequest
    from pyck_magic.model.platform import Platform

    try:
        Platform.parse(text)
    except BadRequest as error:
        raise BadOption(str(error), hint=error.hint) from None
    return text


def duration(text: str) -> float:
    """Seconds, from `90`, `1.5s`, `5m`, `1h30m`."""
    try:
        seconds = float(text) if re.fullmatch(r"[\d.]+", text) else _sum_of_parts(text)
    except ValueError:
        seconds = 0.0
    if not seconds > 0:
        raise BadOption("not a length of time", hint="write seconds (90), or 500ms, 10s, 5m, 1h30m")
    return seconds


def _sum_of_parts(text: str) -> float:
    if not re.fullmatch(f"({_DURATION.pattern})+", text):
        raise ValueError
    return sum(float(number) * _SECONDS[unit] for number, unit in _DURATION.findall(text))


def volume(text: str) -> Volume:
    """`SOURCE:TARGET[:MODE]`, or `TARGET` alone for an anonymous volume. Relative sources become absolute.

    As in Docker, a source without a slash names a volume; `~/` is expanded, since there may be no shell to do it.
    """
    parts = text.split(":")
    if len(parts) > 3 or not all(parts):
        raise BadOption("not a volume", hint="write SOURCE:TARGET or SOURCE:TARGET:ro")
    source, target, mode = (None, parts[0], "") if len(parts) == 1 else (parts[0], parts[1], ":".join(parts[2:]))
    modes = set(mode.split(",")) if mode else set()
    if modes - _VOLUME_MODES or {"ro", "rw"} <= modes:
        raise BadOption(f"invalid mode: {mode}", hint="it is ro or rw")
    if not target.startswith("/"):
        raise BadOption(f"mount path must be absolute: {target}", hint="the part behind the colon is a path in the container")
    if os.path.normpath(target).lstrip("/") == "":
        raise BadOption("destination can't be '/'", hint="mount it below the root, for example at /data")
    return Volume(source=_source(source), target=target, read_only="ro" in modes)


def _source(source: str | None) -> str | None:
    if source is None or source.startswith("/"):
        return source
    if source == "~" or source.startswith((".", "~/")):
        return os.path.abspath(os.path.expanduser(source))
    if not names.is_name(source):
        raise BadOption(
            f"{source!r} is neither a path nor a name for a volume",
            hint=f"for a folder write ./{source}" if "/" in source else "a path begins with / or ./",
        )
    return source


def environment(text: str) -> tuple[tuple[str, str], ...]:
    """`NAME=VALUE`, or `NAME` for the value it has out here (nothing, when it has none: Docker's rule)."""
    name, equals, value = text.partition("=")
    if not name or "\0" in text:
        raise BadOption("not an environment variable", hint="write NAME=VALUE, or NAME to hand on the value it has here")
    if equals:
        return ((name, value),)
    return ((name, os.environ[name]),) if name in os.environ else ()


def environment_file(path: str) -> tuple[tuple[str, str], ...]:
    """Docker's env-file: a NAME=VALUE or a NAME a line, taken literally; lines that begin with # are comments."""
    try:
        with open(os.path.expanduser(path), encoding="utf-8-sig") as file:
            lines = file.read().splitlines()
    except OSError as error:
        raise BadOption(f"cannot be read: {error.strerror}", hint="one NAME=VALUE a line is what it should hold") from None
    except UnicodeDecodeError:
        raise BadOption("not a text file in UTF-8") from None
    found: list[tuple[str, str]] = []
    for number, line in enumerate((line.lstrip() for line in lines), 1):
        if not line or line.startswith("#"):
            continue
        name = line.partition("=")[0]
        if not name or re.search(r"\s", name):
            raise BadOption(f"line {number}: {name!r} is no name for a variable", hint="write one NAME=VALUE a line")
        found += environment(line)
    return tuple(found)


def entrypoint(text: str) -> tuple[str, ...]:
    """One program; an empty word takes the image's entrypoint away."""
    return (text,) if text else ()
