"""What a container is made of, and the launcher process that makes it.

Runs in:    the launcher, the monitor, the newborn; `runtime.client` in the notebook kernel.
May import: linux, model.
Never:      imports anything outside the standard library.
"""
