"""Bring images from registries over HTTP.

Runs in:    the notebook kernel, on worker threads.
May import: model. Its lodger is httpx.
Never:      touches the disk, except to read credentials and Docker's configuration. The caller brings a place for the bytes.
"""

from pyck_magic.registry.client import Registry, Resolved
from pyck_magic.registry.tags import TagInfo

__all__ = ["Registry", "Resolved", "TagInfo"]
