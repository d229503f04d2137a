"""What happens in a cell: %%container, %container, output, values in and out.

Runs in:    the notebook kernel, main thread.
May import: widgets, commands, engine, model. Its lodger is IPython.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

__all__ = ["register", "unregister"]

_KINDS = ("line", "cell")


def register(shell: "InteractiveShell") -> None:
    """Give the shell `%container` and `%%container`. Doing it twice changes nothing."""
    from pyck_magic.magic.magics import ContainerMagics

    if not isinstance(shell.magics_manager.registry.get(ContainerMagics.__name__), ContainerMagics):
        shell.register_magics(ContainerMagics(shell))


def unregister(shell: "InteractiveShell") -> None:
    """Take both magics away again and hang up on the launcher."""
    from pyck_magic.magic.magics import ContainerMagics

    magics = shell.magics_manager.registry.pop(ContainerMagics.__name__, None)
    for kind in _KINDS:
        shell.magics_manager.magics[kind].pop("container", None)
    if isinstance(magics, ContainerMagics):
        magics.close()
