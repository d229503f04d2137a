"""Docker's grammar, written once: parser and call for every verb; the faces only draw.

Runs in:    the notebook kernel, or the `pyck` command.
May import: engine, model. Its lodger is rich (in the terminal face).
"""
