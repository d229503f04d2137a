"""The way to a host and back: TLS as strict as the host must be, redirects by hand, answers of bounded size.

Runs in:    the notebook kernel, on any thread.
"""

import contextlib
import ssl
import threading
import time
from collections.abc import Iterator, Mapping
from http.cookiejar import CookieJar, DefaultCookiePolicy

import httpx

from pyck_magic import __version__
from pyck_magic.model.errors import RegistryError, RegistryUnreachable
from pyck_magic.registry.patience import TryAgain
from pyck_magic.registry.settings import RegistrySettings, Trust
from pyck_magic.registry.trust import redirect_target, same_origin, shown

_REDIRECTS_MAX = 5
_TIMEOUT = httpx.Timeout(connect=10.0, read=30.0, write=30.0, pool=None)
_SMALL_ANSWER_S = 60.0
# A registry may show its answers packed; we want the very bytes that were hashed.
_HEADERS = {"User-Agent": f"pyck/{__version__}", "Accept-Encoding": "identity"}
_NONE: Mapping[str, str] = {}

Form = dict[str, str] | None


class Wire:
    """Sends requests. One for all endpoints of a pull: it keeps connections open between requests."""

    def __init__(self, settings: RegistrySettings) -> None:
        self._settings = settings
        self._clients: dict[Trust, httpx.Client] = {}
        self._mutex = threading.Lock()

    def close(self) -> None:
        """Close all connections; whoever still reads from one gets an error."""
        with self._mutex:
            for client in self._clients.values():
                client.close()

    @contextlib.contextmanager
    def send(
        self, method: str, url: httpx.URL, headers: Mapping[str, str] = _NONE, *, authorization: str = "", form: Form = None
    ) -> Iterator[httpx.Response]:
        """One request and the answer of whoever it was redirected to, its body not read yet.

        `authorization` is for the origin of `url` only, and is never sent again once a redirect has left it.
        Raises RegistryUnreachable, RegistryError for redirects not to be followed, TryAgain for a connection that broke.
        """
        for _hop in range(_REDIRECTS_MAX + 1):
            own = {"Authorization": authorization} if authorization else {}
            with self._exchange(method, url, {**headers, **own}, form) as answer:
                if not (answer.is_redirect and "location" in answer.headers):
                    yield answer
                    return
                target = redirect_target(url, answer.headers["location"])
            if not same_origin(url, target):
                authorization = ""
                if form:
                    raise RegistryError(f"{url.host} redirects what is for it alone to {target.host}", url=shown(url))
            url = target
        raise RegistryError(f"{url.host} redirects in circles", url=shown(url))

    @contextlib.contextmanager
    def _exchange(self, method: str, url: httpx.URL, headers: Mapping[str, str], form: Form) -> Iterator[httpx.Response]:
        client = self._client(url)
        try:
            answer = client.send(client.build_request(method, url, headers=headers, data=form), stream=True)
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.UnsupportedProtocol, httpx.ProxyError) as error:
            raise _unreachable(error, url) from error
        except httpx.TransportError as error:
            raise TryAgain(_broken(error, url)) from error
        with contextlib.closing(answer):
            yield answer

    def _client(self, url: httpx.URL) -> httpx.Client:
        trust = self._settings.trust(url.host, url.port)
        if trust == "strict" and url.scheme == "http":
            raise RegistryError(f"{url.host} is not to be spoken to without encryption", url=shown(url))
        with self._mutex:
            if trust not in self._clients:
                self._clients[trust] = httpx.Client(
                    # As Docker does: a host of ours, or one that is marked, needs no certificate that others vouch for.
                    verify=trust == "strict",
                    trust_env=trust != "local",  # no proxy stands between us and ourselves
                    headers=_HEADERS, timeout=_TIMEOUT, limits=httpx.Limits(max_keepalive_connections=8),
                    cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),  # none: registries share this client
                )  # fmt: skip
            return self._clients[trust]


def chunks(answer: httpx.Response) -> Iterator[bytes]:
    """The body as it comes. Raises TryAgain when the connection breaks before its end."""
    try:
        yield from answer.iter_raw()
    except httpx.TransportError as error:
        raise TryAgain(_broken(error, answer.url)) from error


def read_small(answer: httpx.Response, limit: int) -> bytes:
    """A whole body of at most `limit` bytes. Raises RegistryError if there is more, TryAgain when the connection breaks."""
    deadline = time.monotonic() + _SMALL_ANSWER_S
    body = bytearray()
    for chunk in chunks(answer):
        body += chunk
        if len(body) > limit:
            raise RegistryError(f"{answer.url.host} answers with more than {limit} bytes", url=shown(answer.url))
        if time.monotonic() > deadline:
            raise RegistryError(f"{answer.url.host} has not ended its answer in {_SMALL_ANSWER_S:.0f} s", url=shown(answer.url))
    return bytes(body)


def _unreachable(error: httpx.TransportError, url: httpx.URL) -> RegistryUnreachable:
    certificate = next((one for one in _causes(error) if isinstance(one, ssl.SSLCertVerificationError)), None)
    if certificate is not None:
        return RegistryUnreachable(
            f"the certificate of {url.host} cannot be trusted: {certificate.verify_message}", url=shown(url),
            hint=f'if you trust it all the same, mark it in config.toml: [registries."{url.netloc.decode()}"] insecure = true',
        )  # fmt: skip
    return RegistryUnreachable(
        f"cannot reach {url.netloc.decode()}: {_reason(error)}", url=shown(url),
        hint="is the address right, is the registry up, and is there a network?",
    )  # fmt: skip


def _broken(error: httpx.TransportError, url: httpx.URL) -> RegistryUnreachable:
    why = "no answer in time" if isinstance(error, httpx.TimeoutException) else "the connection broke"
    return RegistryUnreachable(f"{url.netloc.decode()}: {why}", url=shown(url), hint="what has been downloaded stays: pull again")


def _reason(error: BaseException) -> str:
    """The operating system's word for it, from the bottom of the chain."""
    system = [one for one in _causes(error) if isinstance(one, OSError) and one.strerror]
    if system:
        return system[-1].strerror or ""
    return "no answer in time" if isinstance(error, httpx.TimeoutException) else str(error) or type(error).__name__


def _causes(error: BaseException) -> Iterator[BaseException]:
    one: BaseException | None = error
    while one is not None:
        yield one
        one = one.__cause__ or one.__context__
