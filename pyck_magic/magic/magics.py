"""`%container` and `%%container`, as IPython sees them. What they do is elsewhere.

Runs in: the notebook kernel, main thread.
"""

import atexit
from typing import TYPE_CHECKING

from IPython.core.magic import Magics, line_cell_magic, magics_class, no_var_expand

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

    from pyck_magic.engine import Engine


@magics_class
class ContainerMagics(Magics):  # type: ignore[misc]  # IPython ships no types here
    """Containers in a notebook cell."""

    def __init__(self, shell: "InteractiveShell") -> None:
        super().__init__(shell)
        self._engine: Engine | None = None

    @property
    def engine(self) -> "Engine":
        """The engine of this notebook, made when it is first needed."""
        if self._engine is None:
            from pyck_magic.engine import Engine

            self._engine = Engine()
            self._engine.warm_up()  # it gets ready while we look for the image
            atexit.register(self.close)
        return self._engine

    def close(self) -> None:
        """Hang up: containers that still run are ended."""
        if self._engine is not None:
            self._engine.close()
            self._engine = None
            atexit.unregister(self.close)

    @no_var_expand  # type: ignore[untyped-decorator]
    @line_cell_magic  # type: ignore[untyped-decorator]
    def container(self, line: str, cell: str | None = None) -> object:
        """Run a cell in a container, or give a container command on a line.

        %%container [OPTIONS] IMAGE [OPTIONS] [INTERPRETER…]
            The body is a script for the image's shell (or for INTERPRETER, or for what its #! line names). The notebook's
            directory is mounted at the same path. Nothing in the body is expanded; on the line `{name}` is a Python value.

            -i, --input NAME[=EXPR]             hand a Python value in as a file, whose path is in $NAME
            --out NAME[:FORMAT]                 put stdout into a variable; --err NAME[:FORMAT] does it with stderr
            --tee                               show as well what --out and --err take
            -o, --output FILE=NAME[:FORMAT]     bring a file back into a variable
            -v, --volume SOURCE:TARGET[:ro]     mount a directory
            -e, --env NAME=VALUE                set a variable; --env-file FILE reads them from a file
            -w, --workdir, -u, --user, -h, --hostname, --name, --entrypoint, --platform, --userns, --rm=false
            --network host|none                 this machine's network (default), or none
            --pull missing|always|never         whether to look for a newer image
            --no-cwd                            do not mount the notebook's directory
            --timeout 10m                       end it after this time (exit code 124)
            --no-raise-error                    go on when the program fails; its exit code is in _exit_code
            -q, --quiet                         no receipt, no progress

            Formats: text (default), bytes, lines (a list), json, csv and tsv (DataFrames, named by their first line), fasta (a
            DataFrame: id, description, sequence), blast6 (a DataFrame with the columns of BLAST's -outfmt 6 or 7), path (a file
            in the notebook's directory: NAME.out, NAME.err, or the FILE itself).

        %container COMMAND
            pull, images, run, ps, rm, rmi, tag, inspect, history, tags, volume, info, version, doctor; `%container help` lists
            them. Lists are DataFrames, also when they are assigned.

        Examples::

            %container pull ncbi/blast

            %%container ncbi/blast --out hits:blast6
            blastp -query query.fa -db proteins -outfmt 6

            %%container alpine -i names
            sort $names | uniq -c

            big = %container images
            big[big["size"] > 1e9]
        """
        try:
            if cell is None:
                return self._line(line)
            self._cell(line, cell)
            return None
        except KeyboardInterrupt as interrupt:
            from pyck_magic.magic.follow import in_one_line

            in_one_line(interrupt, "stopped")
            raise

    def _line(self, line: str) -> object:
        from pyck_magic.commands import parse, split_line
        from pyck_magic.commands.verbs import answer
        from pyck_magic.magic.face import NotebookFace, value_of
        from pyck_magic.magic.screen import on_terminal

        words = split_line(line, self.shell.user_ns)
        answered = answer(parse(words or ["help"]), lambda: self.engine, NotebookFace(self.shell))
        return value_of(answered, on_terminal=on_terminal(self.shell))

    def _cell(self, line: str, body: str) -> None:
        from pyck_magic.commands import help_text, parse_cell
        from pyck_magic.magic.cell import run_cell
        from pyck_magic.magic.screen import show
        from pyck_magic.model.errors import BadRequest

        request = parse_cell(line, self.shell.user_ns)
        if request.wants_help:
            show({"text/plain": help_text("cell", "%%container")})
            return
        if not body.strip():
            raise BadRequest("the cell is empty", hint="write the commands to run below the first line")
        run_cell(self.shell, self.engine, request, body)
