"""Docker Hub's own list of tags: one request for a hundred of them, and none that counts against its limit of pulls.

Runs in:    the notebook kernel, on any thread.
"""

import httpx

from pyck_magic.model.digest import Digest
from pyck_magic.model.errors import BadManifest, RegistryError
from pyck_magic.model.platform import Platform
from pyck_magic.model.reference import Reference, is_tag
from pyck_magic.model.untrusted import DOCUMENT_BYTES_MAX, Fields
from pyck_magic.registry.patience import Patience, TryAgain
from pyck_magic.registry.refusals import refuse
from pyck_magic.registry.tags import TagInfo
from pyck_magic.registry.wire import Wire, read_small

ADDRESS = "https://hub.docker.com"


def offered(wire: Wire, reference: Reference) -> tuple[TagInfo, ...]:
    """The hundred newest tags of a repository, newest first; `created` is when each was last pushed. Raises RegistryError."""
    url = httpx.URL(f"{ADDRESS}/v2/repositories/{reference.repository}/tags?page_size=100&ordering=last_updated")
    patience = Patience()
    while True:
        try:
            with wire.send("GET", url) as answer:
                if answer.status_code != 200:
                    raise refuse(answer, f"repository {reference.familiar_repository}", reference.familiar_repository)
                data = read_small(answer, DOCUMENT_BYTES_MAX)
            listed = Fields.of_document(data, "list of tags").each("results")
            return tuple(_tag(one) for one in listed if is_tag(one.text("name")))
        except TryAgain as again:
            patience.wait(again)
        except BadManifest as error:
            raise RegistryError(f"{url.host} answers with what is no list of tags: {error}") from None


def _tag(fields: Fields) -> TagInfo:
    """Docker Hub API reference, "List repository tags"."""
    images = [(one, _platform(one)) for one in fields.each("images") if one.text("architecture", "unknown") != "unknown"]
    here = Platform.here()
    size = next((one.number("size") for one, platform in images if here.runs(platform)), None)
    digest = fields.text("digest", "")
    return TagInfo(
        tag=fields.text("name"), created=fields.moment("last_updated"), size_bytes=size,
        platforms=tuple(dict.fromkeys(str(platform.normal) for _one, platform in images)),
        digest=Digest.parse(digest) if digest else None,
    )  # fmt: skip


def _platform(fields: Fields) -> Platform:
    return Platform(fields.word("os", "linux"), fields.word("architecture"), fields.word("variant", ""))
