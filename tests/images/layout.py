"""Write an OCI image layout (image-layout.md of the OCI image spec): blobs by digest, and an index that names them.

Runs in:    the process that builds the images, standard library only. Nothing of pyck_magic: pyck is not tested against itself.
"""

import gzip
import hashlib
import json
import subprocess
from pathlib import Path

from tests.images.recipe import Recipe

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER_GZIP = "application/vnd.oci.image.layer.v1.tar+gzip"
LAYER_ZSTD = "application/vnd.oci.image.layer.v1.tar+zstd"
LAYER_PLAIN = "application/vnd.oci.image.layer.v1.tar"
CREATED = "2024-05-01T12:00:00Z"


class Layout:
    """A layout being written. `add_layer` first, then `add_image`, last `finish`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.named: list[dict[str, object]] = []
        self.layers: dict[str, tuple[dict[str, object], str]] = {}
        (folder / "blobs/sha256").mkdir(parents=True)

    def blob(self, content: bytes, media_type: str) -> dict[str, object]:
        """Store `content`; its descriptor."""
        digest = hashlib.sha256(content).hexdigest()
        (self.folder / "blobs/sha256" / digest).write_bytes(content)
        return {"mediaType": media_type, "digest": f"sha256:{digest}", "size": len(content)}

    def document(self, value: object, media_type: str) -> dict[str, object]:
        """Store a JSON document; its descriptor."""
        return self.blob(json.dumps(value, indent=1).encode(), media_type)

    def add_layer(self, name: str, tar: bytes, media_type: str = LAYER_GZIP) -> None:
        """Store a layer, compressed as its media type says, under the name that recipes call it by."""
        diff_id = f"sha256:{hashlib.sha256(tar).hexdigest()}"
        if media_type == LAYER_GZIP:
            stored = gzip.compress(tar, 6, mtime=0)
        elif media_type == LAYER_ZSTD:
            stored = subprocess.run(["zstd", "--quiet", "--stdout"], input=tar, capture_output=True, check=True).stdout
        else:
            stored = tar
        self.layers[name] = self.blob(stored, media_type), diff_id

    def manifest(self, recipe: Recipe) -> dict[str, object]:
        """Store the config and manifest of one image; the manifest's descriptor."""
        config = self.document(
            {
                "created": CREATED,
                "architecture": recipe.architecture,
                "os": "linux",
                "config": recipe.config,
                "rootfs": {"type": "layers", "diff_ids": [self.layers[name][1] for name in recipe.layers]},
                "history": [{"created": CREATED, "created_by": f"RUN {name}"} for name in recipe.layers]
                + [{"created": CREATED, "created_by": f"CMD {json.dumps(recipe.config.get('Cmd'))}", "empty_layer": True}],
            },
            CONFIG,
        )
        layers = [self.layers[name][0] for name in recipe.layers]
        return self.document({"schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": layers}, MANIFEST)

    def add_image(self, recipe: Recipe, *, name: str | None = None) -> None:
        """Store an image and name it in the layout."""
        self.name(self.manifest(recipe), name or recipe.name)

    def add_index(self, name: str, recipes: list[Recipe]) -> None:
        """One name for several platforms, with the attestation entry that BuildKit puts beside each image."""
        entries: list[dict[str, object]] = []
        for recipe in recipes:
            image = self.manifest(recipe)
            entries.append(image | {"platform": {"os": "linux", "architecture": recipe.architecture}})
            entries.append(self.attestation(image))
        self.name(self.document({"schemaVersion": 2, "mediaType": INDEX, "manifests": entries}, INDEX), name)

    def attestation(self, subject: dict[str, object]) -> dict[str, object]:
        """An in-toto statement about `subject`, dressed as an image manifest (BuildKit, attestation-storage.md)."""
        said = self.document({"_type": "https://in-toto.io/Statement/v0.1", "subject": []}, "application/vnd.in-toto+json")
        rootfs = {"type": "layers", "diff_ids": [said["digest"]]}
        config = self.document({"architecture": "unknown", "os": "unknown", "config": {}, "rootfs": rootfs}, CONFIG)
        manifest = self.document({"schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": [said]}, MANIFEST)
        notes = {"vnd.docker.reference.digest": subject["digest"], "vnd.docker.reference.type": "attestation-manifest"}
        return manifest | {"annotations": notes, "platform": {"os": "unknown", "architecture": "unknown"}}

    def name(self, descriptor: dict[str, object], name: str) -> None:
        """Give a manifest or an index a name."""
        self.named.append(descriptor | {"annotations": {"org.opencontainers.image.ref.name": name}})

    def finish(self) -> None:
        """Write what makes the folder a layout."""
        index = {"schemaVersion": 2, "mediaType": INDEX, "manifests": self.named}
        (self.folder / "index.json").write_text(json.dumps(index, indent=1))
        (self.folder / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
