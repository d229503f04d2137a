"""From parsed options to RunOptions; what `run` and a cell have in common.

Runs in: the notebook kernel, or the `pyck` command.
"""

from pyck_magic.commands.grammar import Parsed
from pyck_magic.model.options import RunOptions

_SAME = ("name", "workdir", "user", "entrypoint", "hostname", "network", "pull", "platform", "userns")


def run_options(parsed: Parsed, *, remove: bool) -> RunOptions:
    """Everything about a run that options say. `remove` is what holds without --rm. Variables of --env win over --env-file."""
    variables = dict(pair for pairs in (*parsed.all("env-file"), *parsed.all("env")) for pair in pairs)
    return RunOptions(
        remove=bool(parsed.given.get("rm", remove)),
        volumes=parsed.all("volume"),
        env=tuple(variables.items()),
        timeout_s=parsed.given.get("timeout"),
        **{name: parsed.given[name] for name in _SAME if name in parsed.given},
    )
