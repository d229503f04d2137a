"""What a program was built for: operating system, architecture, variant.

Runs in: everywhere.

Names are Go's, as in OCI's image index; other spellings are read as containerd reads them (platforms/database.go).
"""

import os
import re
from typing import NamedTuple

from pyck_magic.model.errors import BadOption

_ARCHITECTURES = {
    "aarch64": ("arm64", ""), "arm64": ("arm64", ""), "arm": ("arm", ""), "armhf": ("arm", "v7"), "armel": ("arm", "v6"),
    "armv6l": ("arm", "v6"), "armv7l": ("arm", "v7"), "armv8l": ("arm", "v7"),
    "x86_64": ("amd64", ""), "x86-64": ("amd64", ""), "amd64": ("amd64", ""),
    "i386": ("386", ""), "i486": ("386", ""), "i586": ("386", ""), "i686": ("386", ""), "386": ("386", ""),
    "loong64": ("loong64", ""), "loongarch64": ("loong64", ""), "mips64le": ("mips64le", ""), "ppc64le": ("ppc64le", ""),
    "riscv64": ("riscv64", ""), "s390x": ("s390x", ""),
}  # fmt: skip
_PART = re.compile("[a-z0-9_.-]+")
# What is meant when nothing is said; it is never written.
_DEFAULT_VARIANT = {"amd64": "v1", "arm64": "v8", "arm": "v7"}


class Platform(NamedTuple):
    """`linux/arm64/v8`. Two platforms that mean the same are equal once they are `normal`."""

    os: str
    architecture: str
    variant: str = ""

    @classmethod
    def parse(cls, text: str) -> "Platform":
        """Read `linux/arm64/v8`, `linux/amd64`, or an architecture alone (`arm64`, `x86_64`). Raises BadOption."""
        parts = text.strip().lower().split("/")
        if len(parts) == 1:
            parts = ["linux", *parts]
        if len(parts) > 3 or not all(_PART.fullmatch(part) for part in parts):
            raise BadOption(f"{text[:80]!a} is no platform", hint="write it as OS/ARCHITECTURE[/VARIANT], such as linux/arm64")
        system, architecture, *variant = parts
        if system != "linux":
            raise BadOption(f"programs for {system} cannot run here", hint="pyck runs Linux containers, such as linux/amd64")
        if architecture not in _ARCHITECTURES:
            known = sorted({name for name, _variant in _ARCHITECTURES.values()})
            raise BadOption(f"{architecture!r} is no architecture", hint=f"there are {', '.join(known)}")
        return cls(system, architecture, *variant).normal

    @classmethod
    def here(cls) -> "Platform":
        """This machine."""
        architecture, variant = _ARCHITECTURES.get(os.uname().machine, (os.uname().machine, ""))
        return cls("linux", architecture, variant).normal

    @property
    def normal(self) -> "Platform":
        """The one way to write it: Go's names, and no variant that goes without saying."""
        architecture, variant = _ARCHITECTURES.get(self.architecture, (self.architecture, ""))
        variant = self.variant or variant
        if variant.isdigit():
            variant = f"v{variant}"
        return Platform(self.os, architecture, "" if variant == _DEFAULT_VARIANT.get(architecture) else variant)

    def runs(self, other: "Platform") -> bool:
        """Whether this platform runs programs built for `other`: the same architecture, and no newer variant of it."""
        mine, theirs = self.normal, other.normal
        if (mine.os, mine.architecture) != (theirs.os, theirs.architecture):
            return False
        return mine.variant == theirs.variant or 0 < theirs.level <= mine.level

    @property
    def level(self) -> int:
        """The variant as a number (v8 is 8, v8.2 is 8), the higher the newer; 0 if it is none."""
        digits = (self.variant or _DEFAULT_VARIANT.get(self.architecture, "")).removeprefix("v").partition(".")[0]
        return int(digits) if digits.isascii() and digits.isdigit() and len(digits) < 4 else 0

    def __str__(self) -> str:
        return "/".join(part for part in (self.os, self.architecture, self.variant) if part)
