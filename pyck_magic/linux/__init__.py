"""How Linux is spoken to: the only ctypes in the house.

Runs in:    everywhere.
May import: model.
Never:      decides anything: policy lives in the rooms above.
"""
