"""The words everybody in the house uses: references, digests, manifests, specs, events, errors.

Runs in:    everywhere, the launcher and the newborn included.
May import: the standard library only.
Never:      does I/O.
"""
