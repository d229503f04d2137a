"""The one door to everything below: pull, run, images, containers, doctor.

Runs in:    the notebook kernel, or the `pyck` command.
May import: registry, store, network, runtime, linux, model.
"""
