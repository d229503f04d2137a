"""What is left of a run: how it ended and what it took.

Runs in: everywhere.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple


class Usage(NamedTuple):
    """What a container took. Seconds and bytes; `peak_memory_bytes` is the largest process, not the sum.

    `peak_memory_is_floor` says that the program stayed below what the engine itself can measure.
    """

    wall_s: float
    user_s: float
    system_s: float
    peak_memory_bytes: int
    peak_memory_is_floor: bool = False

    @property
    def cpu_s(self) -> float:
        return self.user_s + self.system_s


class Result(NamedTuple):
    """One finished run.

    `exit_code` follows the shell: the program's own, 128+N after signal N, 124 after our time limit.
    `stdout` and `stderr` are None unless they were captured. `files` holds what `outputs=` asked for.
    """

    exit_code: int
    usage: Usage
    container_id: str
    name: str
    image: str
    image_id: str
    image_digest: str
    signal: int | None = None
    reason: str = ""
    mode: str = ""
    stdout: bytes | None = None
    stderr: bytes | None = None
    files: Mapping[str, bytes] = MappingProxyType({})
    warnings: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        return self.exit_code == 0

    @property
    def text(self) -> str:
        """The captured stdout as text; bytes that are no UTF-8 become U+FFFD."""
        return (self.stdout or b"").decode("utf-8", "replace")
