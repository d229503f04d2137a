"""How a container reaches the world.

Runs in:    the notebook kernel, on a worker thread.
May import: linux, model. Its lodger is pyroute2.
"""
