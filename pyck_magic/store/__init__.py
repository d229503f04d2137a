"""What is on disk: blobs, layers, images, containers; SQLite for what has names.

Runs in:    the notebook kernel; `store.unpacker` is a process of its own.
May import: linux, model. Its lodgers are isal and zstandard.
Never:      speaks to a network.
"""
