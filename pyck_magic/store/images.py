"""Images by name, by digest and by id.

Runs in: the notebook kernel, or the `pyck` command; any thread.

An image is in the database only when all its layers and blobs are in their places.
"""

import re
import time
from collections.abc import Sequence

from pyck_magic.model.config import ImageConfig
from pyck_magic.model.digest import Digest
from pyck_magic.model.errors import BadReference, Conflict, NotFound
from pyck_magic.model.platform import Platform
from pyck_magic.model.records import Image
from pyck_magic.model.reference import Reference
from pyck_magic.store.database import Database

_ID = re.compile(r"(?:sha256:)?([0-9a-f]{1,64})")
_LAST_CHARACTER = "\U0010ffff"


class Images:
    """What `names`, `repo_digests` and `images` hold. Names are canonical references."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._configs: dict[str, ImageConfig] = {}
        # What `get` found last, by what it was asked for; good for as long as nobody has changed anything.
        self._found: dict[tuple[str, str | None], tuple[tuple[int, int], Image]] = {}
        self._own_changes = 0

    def list(self) -> tuple[Image, ...]:
        """Newest first (by when they were built), unnamed ones included."""
        rows = self._database.rows("SELECT id FROM images")
        images = [image for (hex_id,) in rows if (image := self._load(hex_id)) is not None]
        return tuple(sorted(images, key=lambda image: image.created.timestamp() if image.created else 0.0, reverse=True))

    def get(self, text: str, *, platform: str | None = None) -> Image:
        """By reference (any form), by name@digest, by id or the start of one.

        With `platform` an image of another one is not found. Raises NotFound, Conflict (several ids begin so), BadReference.
        """
        state = (self._database.others_changes(), self._own_changes)
        found_at, image = self._found.get((text, platform), (None, None))
        if image is None or found_at != state:
            image = self._get(text, platform)
            self._found[text, platform] = (state, image)
        return image

    def _get(self, text: str, platform: str | None) -> Image:
        hex_id = self.find(text)
        image = self._load(hex_id) if hex_id else None
        if image is None:
            raise NotFound(f"no such image: {text}", hint=f"pull it: `pyck pull {text}`")
        if platform is not None:
            wanted, config = Platform.parse(platform), image.config
            if not wanted.runs(Platform(config.os, config.architecture, config.variant)):
                raise NotFound(
                    f"image {text} is here for {config.os}/{config.architecture}, not for {wanted}",
                    hint=f"pull it: `pyck pull --platform {platform} {text}`",
                )
        return image

    def find(self, text: str) -> str | None:
        """The id's hex digits of the image that `text` means. A name goes before an id that begins alike, as in Docker."""
        if not text.startswith("sha256:"):
            try:
                reference = Reference.parse(text)
            except BadReference:
                if not _ID.fullmatch(text):
                    raise
            else:
                hex_id = self.find_reference(reference)
                if hex_id is not None:
                    return hex_id
        as_id = _ID.fullmatch(text)
        return self._find_id(as_id[1], text) if as_id else None

    def find_reference(self, reference: Reference) -> str | None:
        """The id's hex digits of the image of this name; a digest counts more than a tag."""
        if reference.digest is not None:
            name = f"{reference.registry}/{reference.repository}@{reference.digest}"
            rows = self._database.rows("SELECT image FROM repo_digests WHERE name = ?", (name,))
        else:
            rows = self._database.rows("SELECT image FROM names WHERE name = ?", (str(reference),))
        return str(rows[0][0]) if rows else None

    def _changed(self) -> None:
        self._own_changes += 1
        self._found.clear()

    def _find_id(self, start: str, text: str) -> str | None:
        rows = self._database.rows(
            "SELECT id FROM images WHERE id >= ? AND id < ? LIMIT 2", (start, start + _LAST_CHARACTER)
        )
        if len(rows) > 1:
            raise Conflict(f"several image ids begin with {text}", hint="give more of it")
        return str(rows[0][0]) if rows else None

    def add(
        self, reference: Reference, *, manifest_digest: Digest, index_digest: Digest | None, config: ImageConfig,
        config_digest: Digest, layer_sizes: Sequence[int], blobs: Sequence[Digest],
    ) -> Image:  # fmt: skip
        """Write an image down and point its name at it. Its layers and blobs must be in their places."""
        hex_id = config_digest.hex
        repository = f"{reference.registry}/{reference.repository}"
        shown = reference.digest or index_digest or manifest_digest
        with self._database.transaction():
            run = self._database.rows
            platform = str(Platform(config.os, config.architecture, config.variant))
            run(
                "INSERT INTO images VALUES (?, ?, ?, ?, ?) ON CONFLICT (id) DO UPDATE SET manifest = excluded.manifest",
                (hex_id, str(manifest_digest), platform, config.raw, time.time()),
            )
            for position, (diff_id, size) in enumerate(zip(config.diff_ids, layer_sizes, strict=True)):
                run("INSERT OR REPLACE INTO image_layers VALUES (?, ?, ?, ?)", (hex_id, position, diff_id.hex, size))
            for blob in {blob.hex for blob in blobs}:
                run("INSERT OR IGNORE INTO image_blobs VALUES (?, ?)", (hex_id, blob))
            for digest in {manifest_digest, shown}:
                run(
                    "INSERT INTO repo_digests VALUES (?, ?, ?) ON CONFLICT (name) "
                    "DO UPDATE SET image = excluded.image, shown = max(shown, excluded.shown)",
                    (f"{repository}@{digest}", hex_id, digest == shown),
                )
            if reference.tag is not None and reference.digest is None:
                run("INSERT OR REPLACE INTO names VALUES (?, ?)", (str(reference), hex_id))
        self._changed()
        image = self._load(hex_id)
        assert image is not None
        return image

    def tag(self, image_id: Digest, reference: Reference) -> None:
        """Give an image one more name; the name leaves the image it may have had."""
        self._database.rows("INSERT OR REPLACE INTO names VALUES (?, ?)", (str(reference), image_id.hex))
        self._changed()

    def untag(self, reference: Reference) -> None:
        """Take a name (or a name@digest) away; nothing happens to the image."""
        name = f"{reference.registry}/{reference.repository}@{reference.digest}" if reference.digest else str(reference)
        with self._database.transaction():
            self._database.rows("DELETE FROM names WHERE name = ?", (name,))
            self._database.rows("DELETE FROM repo_digests WHERE name = ?", (name,))
        self._changed()

    def forget(self, image_id: Digest) -> tuple[Digest, ...]:
        """Remove an image and all its names. Returns the layers that no other image uses, topmost first."""
        with self._database.transaction():
            own = self._database.rows(
                "SELECT diff_id, max(position) AS top FROM image_layers WHERE image = ?1 AND diff_id NOT IN "
                "(SELECT diff_id FROM image_layers WHERE image <> ?1) GROUP BY diff_id ORDER BY top DESC",
                (image_id.hex,),
            )
            self._database.rows("DELETE FROM images WHERE id = ?", (image_id.hex,))
        self._configs.pop(image_id.hex, None)
        self._changed()
        return tuple(Digest.parse(f"sha256:{diff_id}") for diff_id, _top in own)

    def layer_sizes(self, diff_ids: Sequence[Digest]) -> dict[str, int]:
        """What layers hold, by diff id's hex digits, as far as any image has them."""
        found: dict[str, int] = {}
        for hex_id in {diff_id.hex for diff_id in diff_ids}:
            rows = self._database.rows("SELECT size_bytes FROM image_layers WHERE diff_id = ? LIMIT 1", (hex_id,))
            if rows:
                found[hex_id] = int(rows[0][0])
        return found

    def in_use(self) -> tuple[frozenset[str], frozenset[str]]:
        """Hex digits of every layer and of every blob that some image uses."""
        layers = self._database.rows("SELECT DISTINCT diff_id FROM image_layers")
        blobs = self._database.rows("SELECT DISTINCT blob FROM image_blobs")
        return frozenset(row[0] for row in layers), frozenset(row[0] for row in blobs)

    def _load(self, hex_id: str) -> Image | None:
        rows = self._database.rows(
            "SELECT manifest, iif(?, config, NULL) FROM images WHERE id = ?", (hex_id not in self._configs, hex_id)
        )
        if not rows:
            return None
        manifest, raw = rows[0]
        # A config is named by its digest, so once it is parsed it is parsed for good.
        config = self._configs.get(hex_id) or self._configs.setdefault(hex_id, ImageConfig.parse(raw))
        names = self._database.rows("SELECT name FROM names WHERE image = ? ORDER BY name", (hex_id,))
        digests = self._database.rows("SELECT name FROM repo_digests WHERE image = ? AND shown ORDER BY name", (hex_id,))
        sizes = self._database.rows("SELECT size_bytes FROM image_layers WHERE image = ? ORDER BY position", (hex_id,))
        layer_sizes = tuple(int(row[0]) for row in sizes)
        return Image(
            id=Digest.parse(f"sha256:{hex_id}"), manifest_digest=Digest.parse(manifest),
            names=tuple(Reference.parse(row[0]).familiar for row in names),
            repo_digests=tuple(Reference.parse(row[0]).familiar for row in digests),
            created=config.created, size_bytes=sum(layer_sizes), layers=config.diff_ids, layer_sizes=layer_sizes, config=config,
        )  # fmt: skip
