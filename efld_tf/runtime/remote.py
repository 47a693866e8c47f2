"""Downloads photos; what an address gives is told by its content, not by its name."""

from __future__ import annotations

import http.client
import ssl
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from queue import Empty, Queue

from efld_tf import __version__
from efld_tf.annotations import decoding, image_kinds
from efld_tf.annotations.images import MAX_IMAGE_BYTES
from efld_tf.annotations.parsing import shorten
from efld_tf.arrays import Image
from efld_tf.errors import DataError
from efld_tf.urls import UNTRUSTED, Url

# How long a server may take to answer and to go on, and a download as a whole.
ANSWER_SECONDS, DOWNLOAD_SECONDS = 10.0, 300.0
# The kinds of photos are told by so many bytes.
_HEAD_BYTES = 256
_PART_BYTES = 1 << 16


@dataclass(frozen=True, eq=False)
class RemotePhoto:
    """A photo from an address.

    Attributes:
      image: [H, W, 3] uint8 RGB, upright.
      orientation: the EXIF orientation by which it was turned, 1 to 8; 1 is none.
    """

    image: Image
    orientation: int


def photo(url: Url) -> RemotePhoto | None:
    """The photo that an address gives; None if it gives something else, such as a video.

    Raises:
      DataError: the server cannot be reached or refuses, or the photo is too large, damaged, or of
        a kind that cannot be decoded.
    """
    if url.scheme not in ("http", "https"):
        return None
    try:
        content = _in_time(url)
    except http.client.HTTPException:  # FFmpeg understands servers that are not quite of HTTP
        return None
    except urllib.error.HTTPError as error:
        reason = f"the server answers {error.code} {shorten(str(error.reason))}"
        error.close()
        if error.code == 401:
            reason += f"; a user name and a password stand in {url.scheme}://USER:PASSWORD@HOST/..."
    except OSError as error:
        reason = _reason(error)
    else:
        return None if content is None else _decoded(content, url)
    raise DataError(str(url), reason)


def read_photo(address: str) -> Image:
    """The photo that an address gives, as [H, W, 3] uint8 RGB, upright.

    Raises:
      EfldError: it is no address.
      DataError: there is no photo, or as in `photo`.
    """
    url = Url.parse(address)
    found = photo(url)
    if found is None:
        raise DataError(str(url), "expected a photo")
    return found.image


def _reason(error: OSError) -> str:
    """Why a server cannot be reached."""
    cause = error.reason if isinstance(error, urllib.error.URLError) else error
    if isinstance(cause, TimeoutError):
        return f"no answer within {ANSWER_SECONDS:g} s"
    if isinstance(cause, ssl.SSLCertVerificationError):
        return f"its certificate is not trusted ({cause.verify_message}); {UNTRUSTED}"
    told = (cause.strerror or str(cause)) if isinstance(cause, OSError) else str(cause)
    return f"cannot be read: {shorten(told, 200)}"


def _decoded(content: bytes, url: Url) -> RemotePhoto:
    path = Path(url.stem + url.suffix)
    try:
        image = decoding.decode(content, path, upright=True)
        return RemotePhoto(image, decoding.orientation(content, path))
    except DataError as error:
        raise DataError(str(url), error.reason) from error


def _in_time(url: Url) -> bytes | None:
    """What `_download` gives, which a server that drips its answer could make wait for ever."""
    results: Queue[bytes | BaseException | None] = Queue(1)

    def work() -> None:
        try:
            results.put(_download(url))
        except BaseException as error:  # whatever it is, it is raised again below
            results.put(error)

    threading.Thread(target=work, daemon=True).start()
    try:
        result = results.get(timeout=DOWNLOAD_SECONDS)
    except Empty:
        raise _late(url) from None
    if isinstance(result, BaseException):
        raise result
    return result


def _download(url: Url) -> bytes | None:
    """The content of an address, if it begins like a photo's; None otherwise.

    Raises:
      OSError, http.client.HTTPException: it cannot be read.
      DataError: it is too large, or takes too long.
    """
    end = time.monotonic() + DOWNLOAD_SECONDS
    with _opener(url).open(_request(url), timeout=ANSWER_SECONDS) as response:
        content = bytearray()
        while part := response.read1(_PART_BYTES):
            began = len(content) >= _HEAD_BYTES
            content += part
            if not began and len(content) >= _HEAD_BYTES and not _is_photo(content):
                return None
            if len(content) > MAX_IMAGE_BYTES:
                raise DataError(str(url), f"expected a photo of at most {MAX_IMAGE_BYTES} bytes")
            if time.monotonic() > end:
                raise _late(url)
    return bytes(content) if _is_photo(content) else None


def _late(url: Url) -> DataError:
    return DataError(str(url), f"a photo that does not come within {DOWNLOAD_SECONDS:g} s")


def _is_photo(content: bytearray) -> bool:
    """Whether content begins like a photo; HTML and XML of other kinds are taken for SVG."""
    return image_kinds.kind(bytes(content[:_HEAD_BYTES])) not in (None, "SVG")


def _request(url: Url) -> urllib.request.Request:
    return urllib.request.Request(url.request, headers={"User-Agent": f"efld_tf/{__version__}"})


def _opener(url: Url) -> urllib.request.OpenerDirector:
    """Opens HTTP and HTTPS alone, whatever a server redirects to; logs in on the host alone."""
    opener = urllib.request.OpenerDirector()
    handlers: list[urllib.request.BaseHandler] = [
        urllib.request.ProxyHandler(), urllib.request.UnknownHandler(),
        urllib.request.HTTPHandler(), urllib.request.HTTPSHandler(),
        urllib.request.HTTPDefaultErrorHandler(), urllib.request.HTTPRedirectHandler(),
        urllib.request.HTTPErrorProcessor(),
    ]  # fmt: skip
    if url.user is not None:
        passwords = urllib.request.HTTPPasswordMgrWithDefaultRealm()
        root = urllib.parse.urljoin(url.request, "/")
        passwords.add_password(None, root, url.user, url.password or "")
        handlers += [urllib.request.HTTPBasicAuthHandler(passwords),
                     urllib.request.HTTPDigestAuthHandler(passwords)]
    for handler in handlers:
        opener.add_handler(handler)
    return opener
