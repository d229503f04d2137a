"""Every error we raise, as one tree.

    PyckError                    has .hint: what to do about it
    ├── BadRequest               the cell or the command is wrong
    │   ├── BadReference         an image name that cannot be parsed
    │   ├── BadOption            an unknown or contradictory option
    │   ├── NameTaken            a container of this name exists
    │   ├── NotFound             no such image, container, file
    │   └── Conflict             the thing is in use
    ├── RegistryError            has .url .status .code
    │   ├── Unauthorized
    │   ├── NoSuchImage
    │   ├── RateLimited
    │   └── RegistryUnreachable
    ├── BrokenContent            has .expected .actual
    │   ├── WrongDigest
    │   ├── WrongSize
    │   ├── BadManifest
    │   ├── BadArchive           a layer that is no sound tar, or tries to climb out
    │   └── UnsupportedMedia
    ├── StoreError               disk full, locked, damaged home
    ├── LaunchError              has .step .errno .path: set-up failed before the program ran
    │   └── LauncherDied
    ├── NetworkError
    ├── NotPossibleHere          this machine lacks something
    └── ContainerFailed          has .result: the program ran, and said no

Runs in: everywhere. The message says what happened, in lower case and without a full stop; the hint says what to do.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pyck_magic.model.result import Result


class PyckError(Exception):
    """The root of the tree. `str(error)` is what happened, `error.hint` what to do."""

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint

    def _render_traceback_(self) -> list[str]:
        """Show IPython one line, and the hint below it, instead of our stack. There our commands are lines in a cell."""
        hint = self.hint.replace("`pyck ", "`%container ")
        return [f"{type(self).__name__}: {self}"] + ([f"hint: {hint}"] if hint else [])


class BadRequest(PyckError):
    """What was asked for cannot be done as it was asked."""


class BadReference(BadRequest):
    """An image name that does not follow the grammar of references."""


class BadOption(BadRequest):
    """An option that is unknown, incomplete or contradicts another."""


class NameTaken(BadRequest):
    """A container or volume of this name exists already."""


class NotFound(BadRequest):
    """No image, container or file of this name."""


class Conflict(BadRequest):
    """The thing is in use, so it cannot be removed or changed."""


class RegistryError(PyckError):
    """A registry answered with an error, or not at all."""

    def __init__(self, message: str, *, url: str = "", status: int = 0, code: str = "", hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.url = url
        self.status = status
        self.code = code


class Unauthorized(RegistryError):
    """The registry wants other credentials, or any at all."""


class NoSuchImage(RegistryError):
    """The registry has no such repository, tag or digest."""


class RateLimited(RegistryError):
    """The registry asked for patience (429) longer than we were willing to wait."""


class RegistryUnreachable(RegistryError):
    """No connection, or no end of broken ones."""


class BrokenContent(PyckError):
    """Bytes that are not what their name promises. Nothing of them is kept."""

    def __init__(self, message: str, *, expected: object = "", actual: object = "", hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.expected = str(expected)
        self.actual = str(actual)


class WrongDigest(BrokenContent):
    """The bytes hash to something else."""


class WrongSize(BrokenContent):
    """More or fewer bytes than the descriptor says."""


class BadManifest(BrokenContent):
    """A manifest, index or config that breaks the specification."""


class BadArchive(BrokenContent):
    """A layer that is no sound tar, or that tries to write outside its directory."""


class UnsupportedMedia(BrokenContent):
    """A media type we do not speak: schema 1, an artifact that is no image, an unknown compression."""


class StoreError(PyckError):
    """The home cannot be read or written: full, locked, damaged."""


class LaunchError(PyckError):
    """The container could not be set up. The program did not run.

    `step` is the name of the step in `runtime.birth.STEPS`, `errno` the kernel's answer, `path` what it was about.
    """

    def __init__(self, message: str, *, step: str = "", errno: int = 0, path: str = "", hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.step = step
        self.errno = errno
        self.path = path

    @property
    def exit_code(self) -> int:
        """What `docker run` exits with: 127 no such program, 126 it cannot be executed, 125 the engine failed."""
        if self.step != "exec":
            return 125
        return 127 if self.errno == 2 else 126


class LauncherDied(LaunchError):
    """The launcher process ended while a container was being started."""


class NetworkError(PyckError):
    """A network could not be made or joined."""


class NotPossibleHere(PyckError):
    """This machine lacks something; the hint says what would be enough."""


class ContainerFailed(PyckError):
    """The program ran and exited with something other than 0. `result` has all that is known."""

    def __init__(self, message: str, *, result: "Result", hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.result = result

    @property
    def exit_code(self) -> int:
        return self.result.exit_code
