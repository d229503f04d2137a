"""What happens in a cell: %%container, %container, output, values in and out.

Runs in:    the notebook kernel, main thread.
May import: widgets, commands, engine, model. Its lodger is IPython.
"""
