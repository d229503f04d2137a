"""What people look at: pull board, tables, receipts; each with a static twin.

Runs in:    the notebook kernel.
May import: engine, model. Its lodgers are ipywidgets and pandas.
"""
