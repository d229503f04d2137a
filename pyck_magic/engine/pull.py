"""Pull an image: resolve → fetch → verify → unpack → name.

Runs in: the notebook kernel, or the `pyck` command; the caller's thread conducts (`fetching`).
"""

import contextlib
import os
import stat
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pyck_magic.engine.fetching import Watcher, fetch
from pyck_magic.engine.layer import Layer
from pyck_magic.engine.ranges import ensure_range_layers
from pyck_magic.model.errors import BadManifest
from pyck_magic.model.events import LayerProgress, Phase, PullResolved
from pyck_magic.model.platform import Platform
from pyck_magic.model.records import Image
from pyck_magic.model.reference import Reference
from pyck_magic.store import Home

if TYPE_CHECKING:
    from pyck_magic.registry import Registry, Resolved

__all__ = ["LayerReport", "PullReport", "ensure_range_layers", "pull"]


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerReport:
    """What became of one layer. `bytes` is its compressed size, `resumed_bytes` what an earlier pull had left of it."""

    layer: str
    bytes: int
    phase: Phase
    resumed_bytes: int
    served_by: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PullReport:
    """What a pull did. `digest` is what the name stands for at the registry: of the index if it is one.

    `fetched_bytes` came over the network for layers; `resumed_bytes` did not, thanks to an earlier pull.
    """

    reference: str
    digest: str
    image: Image
    fetched_bytes: int
    reused_layers: int
    resumed_bytes: int
    seconds: float
    up_to_date: bool
    layers: tuple[LayerReport, ...]


def pull(
    home: Home, reference: str, *, platform: str | None = None, watch: Watcher | None = None, registry: "Registry | None" = None
) -> PullReport:
    """Bring an image, or find that what is here is up to date. `watch` is called on this thread and must be quick.

    An interrupted pull leaves what it has downloaded, and nothing else; the next one goes on from there.
    Raises BadReference, RegistryError, BrokenContent, StoreError.
    """
    started = time.monotonic()
    name = Reference.parse(reference)
    wanted = Platform.parse(platform) if platform else Platform.here()
    watch = watch or _nobody
    with contextlib.ExitStack() as stack:
        if registry is None:
            from pyck_magic.registry import Registry

            registry = stack.enter_context(Registry())
        resolved = registry.resolve(name, wanted)
        stack.enter_context(home.pulling())
        image = _held(home, name, resolved)
        up_to_date = image is not None
        layers = _layers(resolved)
        _announce(name, resolved, wanted, watch)
        missing = _skip_what_is_here(home, layers, watch)
        if image is None or missing:
            fetch(home, registry, name, missing, watch)
            image = _write_down(home, name, resolved, layers)
    return PullReport(
        reference=name.familiar,
        digest=str(resolved.index_digest or resolved.digest),
        image=image,
        fetched_bytes=sum(layer.fetched_bytes for layer in layers),
        reused_layers=sum(len(layer.indexes) for layer in layers if layer.phase == Phase.ALREADY_HERE),
        resumed_bytes=sum(layer.resumed_from for layer in layers),
        seconds=time.monotonic() - started,
        up_to_date=up_to_date and not missing,
        layers=_reports(layers, resolved.served_by),
    )


def _held(home: Home, name: Reference, resolved: "Resolved") -> Image | None:
    """The image of this name, if it is the very one that the registry has."""
    if home.images.find_reference(name) != resolved.manifest.config.digest.hex:
        return None
    image = home.images.get(str(resolved.manifest.config.digest))
    return image if image.manifest_digest == resolved.digest else None


def _layers(resolved: "Resolved") -> list[Layer]:
    """One Layer a blob, however often the manifest lists it. Raises BadManifest when it contradicts the config."""
    descriptors, diff_ids = resolved.manifest.layers, resolved.config.diff_ids
    if len(descriptors) != len(diff_ids):
        raise BadManifest(
            f"the manifest lists {len(descriptors)} layers, its config {len(diff_ids)}",
            expected=len(diff_ids), actual=len(descriptors),
        )  # fmt: skip
    layers: dict[str, Layer] = {}
    for index, (descriptor, diff_id) in enumerate(zip(descriptors, diff_ids, strict=True)):
        layer = layers.setdefault(descriptor.digest.hex, Layer(descriptor, diff_id))
        if layer.diff_id != diff_id or layer.descriptor.size != descriptor.size:
            raise BadManifest(f"the manifest says two different things about layer {layer.short}")
        layer.indexes.append(index)
    return list(layers.values())


def _announce(name: Reference, resolved: "Resolved", platform: Platform, watch: Watcher) -> None:
    watch(
        PullResolved(
            reference=name.familiar,
            digest=str(resolved.index_digest or resolved.digest),
            platform=str(platform),
            layers=tuple((descriptor.digest.short, descriptor.size) for descriptor in resolved.manifest.layers),
            served_by=resolved.served_by,
        )
    )


def _skip_what_is_here(home: Home, layers: list[Layer], watch: Watcher) -> list[Layer]:
    """The layers that must be fetched. The others are told of, and so is every repetition of one."""
    missing = []
    for layer in layers:
        here = home.layers.has(layer.diff_id) and home.blobs.has(layer.descriptor.digest)
        if here:
            layer.phase = Phase.ALREADY_HERE
        else:
            missing.append(layer)
        size = layer.descriptor.size
        for index in layer.indexes[0 if here else 1 :]:
            watch(LayerProgress(index, layer.short, Phase.ALREADY_HERE, size, size))
    return missing


def _write_down(home: Home, name: Reference, resolved: "Resolved", layers: list[Layer]) -> Image:
    """Keep manifest and config, then make the image visible in one transaction."""
    manifest = resolved.manifest
    home.blobs.put(manifest.config.digest, resolved.config_bytes)
    home.blobs.put(resolved.digest, resolved.manifest_bytes)
    sizes = home.images.layer_sizes(resolved.config.diff_ids)
    sizes |= {layer.diff_id.hex: layer.size_bytes for layer in layers if layer.size_bytes is not None}
    for diff_id in resolved.config.diff_ids:
        if diff_id.hex not in sizes:
            sizes[diff_id.hex] = _measure(home.layers.path(diff_id))
    return home.images.add(
        name,
        manifest_digest=resolved.digest,
        index_digest=resolved.index_digest,
        config=resolved.config,
        config_digest=manifest.config.digest,
        layer_sizes=[sizes[diff_id.hex] for diff_id in resolved.config.diff_ids],
        blobs=[resolved.digest, manifest.config.digest, *(descriptor.digest for descriptor in manifest.layers)],
    )


def _measure(directory: str) -> int:
    """The bytes in the files of a layer that no image has told us the size of."""
    total = 0
    for folder, _folders, files in os.walk(directory):
        for name in files:
            status = os.lstat(f"{folder}/{name}")
            total += status.st_size if stat.S_ISREG(status.st_mode) else 0
    return total


def _reports(layers: list[Layer], served_by: str) -> tuple[LayerReport, ...]:
    reports: dict[int, LayerReport] = {}
    for layer in layers:
        for index in layer.indexes:
            phase = layer.phase if index == layer.indexes[0] else Phase.ALREADY_HERE
            resumed = layer.resumed_from if index == layer.indexes[0] else 0
            reports[index] = LayerReport(
                layer=layer.short, bytes=layer.descriptor.size, phase=phase, resumed_bytes=resumed, served_by=served_by
            )
    return tuple(reports[index] for index in sorted(reports))


def _nobody(_event: object) -> None:
    pass
