"""The birth of a container: a list of small named steps, in the order in which they must happen.

Runs in: the newborn, between clone and exec. Whoever looks at `STEPS` from elsewhere only reads names and docstrings.

`PREPARE` needs only the mould, so a sandbox can go that far before anybody asks for it; `FINISH` needs the request.
A step that fails raises OSError (or Refused, with words of its own): the newborn reports it and dies, nothing runs.
"""

from collections.abc import Callable

from pyck_magic.runtime import finishing, preparing
from pyck_magic.runtime.preparing import Birth

Step = Callable[[Birth], None]

PREPARE: tuple[Step, ...] = (
    preparing.become_root_inside,
    preparing.part_from_the_host,
    preparing.pitch_staging,
    preparing.make_dev,
    preparing.make_proc,
    preparing.make_sys,
    preparing.mask_paths,
    preparing.raise_loopback,
    preparing.stack_layers,
    preparing.move_in_dev_proc_sys,
    preparing.bind_etc,
    preparing.limit_powers,
)
FINISH: tuple[Step, ...] = (
    finishing.write_etc,
    finishing.bind_volumes,
    finishing.hand_in_script,
    finishing.open_outputs,
    finishing.change_root,
    finishing.name_the_host,
    finishing.make_workdir,
    finishing.drop_powers,
)
STEPS: tuple[Step, ...] = PREPARE + FINISH
