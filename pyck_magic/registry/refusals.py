"""From a registry's no to an error of ours, in Docker's words.

Runs in:    the notebook kernel, on any thread. Pure but for reading the answer's body.
"""

import httpx

from pyck_magic.model.errors import BadManifest, NoSuchImage, PyckError, RateLimited, RegistryError, Unauthorized
from pyck_magic.model.untrusted import Fields
from pyck_magic.registry.patience import TryAgain, retry_after
from pyck_magic.registry.trust import shown
from pyck_magic.registry.wire import read_small

_BODY_BYTES_MAX = 64 << 10
_WORTH_TRYING_AGAIN = frozenset([408, 500, 502, 503, 504])


def refuse(answer: httpx.Response, what: str, repository: str) -> RegistryError:
    """The error for an answer that is not 200. `what` was asked for, of `repository`; both are shown.

    Raises TryAgain instead for what may pass: too many requests (429), and a server in trouble (5xx).
    """
    code, message = _in_its_words(answer)
    status, url = answer.status_code, shown(answer.url)
    said = f": {message}" if message else ""
    if status in (401, 403):
        return Unauthorized(
            f"pull access denied for {repository}, repository does not exist or may need credentials{said}",
            url=url, status=status, code=code, hint="check the name; credentials are read from Docker's ~/.docker/config.json",
        )  # fmt: skip
    if status == 404:
        return NoSuchImage(
            f"{what} not found{said or ': the registry has no such thing'}", url=url, status=status, code=code,
            hint="check the spelling of registry, repository and tag",
        )  # fmt: skip
    if status == 429:
        raise TryAgain(
            RateLimited(
                f"{answer.url.host} has had too many requests from here{said}", url=url, status=status, code=code,
                hint="wait a while; with credentials (~/.docker/config.json) more is allowed, and a mirror takes the load off",
            ),
            retry_after(answer.headers.get("retry-after")),
        )  # fmt: skip
    error = RegistryError(
        f"{answer.url.host} answers {status} {answer.reason_phrase[:60]!s} when asked for {what}{said}".replace("  ", " "),
        url=url, status=status, code=code, hint="the registry is in trouble: try again later" if status >= 500 else "",
    )  # fmt: skip
    if status in _WORTH_TRYING_AGAIN:
        raise TryAgain(error, retry_after(answer.headers.get("retry-after")))
    return error


def _in_its_words(answer: httpx.Response) -> tuple[str, str]:
    """Code and message of the first of its `errors` (distribution-spec, Error Codes); empty if it says none."""
    try:
        fields = Fields.of_document(read_small(answer, _BODY_BYTES_MAX), "answer")
        first = next(fields.each("errors"), None)
        if first is None:
            return "", ""
        return first.text("code", "")[:60], ascii(first.text("message", ""))[1:-1][:200]
    except (BadManifest, PyckError, TryAgain):
        return "", ""
