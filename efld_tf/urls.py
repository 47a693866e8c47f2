"""Addresses of photos, videos and live streams on a network, told without what they keep secret.

Addresses often carry the password of a camera: before the host, in the query, or, of some cameras,
within the path. An address is shown, and gives names, without any of these.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from urllib.parse import SplitResult, quote, unquote, urlsplit

from efld_tf.errors import EfldError

# What FFmpeg may open on the way to a file on a server: `file` is not among it, so that a playlist
# cannot name a file of this machine.
_HTTP = "http,https,tcp,tls,crypto,httpproxy"
_RTSP = "rtsp,rtp,srtp,udp,tcp,tls"
# Playlists of segments with their sound and subtitles, and motion JPEG.
_HTTP_FORMATS = ("hls", "aac", "ac3", "eac3", "mp3", "webvtt", "mpjpeg")


@dataclass(frozen=True)
class Scheme:
    """How the addresses of a scheme are opened.

    Attributes:
      live: whether it is always a live stream; of http, one that tells no duration.
      protocols: FFmpeg's names of the protocols that it may use.
      formats: FFmpeg's names of the containers that may come, beside those of video files.
      host: whether an address must name a host; others may wait on a port of this machine.
      options: further options of FFmpeg.
    """

    live: bool
    protocols: str
    formats: tuple[str, ...] = ()
    host: bool = True
    options: dict[str, str] = field(default_factory=dict)


SCHEMES = {
    "http": Scheme(False, _HTTP, _HTTP_FORMATS),
    "https": Scheme(False, _HTTP, _HTTP_FORMATS),
    # UDP, which RTSP begins with by default, loses packets.
    "rtsp": Scheme(True, _RTSP, ("rtsp",), options={"rtsp_flags": "prefer_tcp"}),
    "rtsps": Scheme(True, _RTSP, ("rtsp",), options={"rtsp_flags": "prefer_tcp"}),
    "rtmp": Scheme(True, "rtmp,tcp", ("live_flv",)),
    # Packets that come faster than they are read are lost, which by default would end the stream.
    "udp": Scheme(True, "udp", host=False, options={"overrun_nonfatal": "1"}),
    "srt": Scheme(True, "srt", host=False),
}

# The way out where a certificate is not trusted.
UNTRUSTED = "SSL_CERT_FILE can name a file with the certificates to trust"

# FFmpeg takes no longer ones.
_MOST_CHARACTERS = 4000
_MOST_OF_A_NAME = 80
# Characters of a path that may set a password apart.
_TELLING = re.compile(r"[@=&;]")
_START = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):(/+)")


@dataclass(frozen=True)
class Url:
    """An address; as a text it is without user name, password and query.

    Attributes:
      full: the address as it is opened, with all that is secret.
      shown: the address as it may be shown.
      scheme: the key of its `SCHEMES`.
      host: the name or number of the host; "" if there is none.
      request: the address for HTTP, without user name, password and fragment.
      user, password: to log in with; None if there are none.
      stem, suffix: a name for files, from the host and the last part of the path.
    """

    full: str = field(repr=False)
    shown: str
    scheme: str
    host: str
    request: str = field(repr=False)
    user: str | None = field(repr=False)
    password: str | None = field(repr=False)
    stem: str
    suffix: str

    def __str__(self) -> str:
        return self.shown

    @classmethod
    def parse(cls, text: str) -> Url:
        """Reads an address.

        Raises:
          EfldError: it is none, or its scheme is not among `SCHEMES`; the message has no secret.
        """
        name = scheme_of(text)
        known = ", ".join(SCHEMES)
        if name is None or name not in SCHEMES:
            way_out = "; a file is named by its path alone" if name == "file" else ""
            raise EfldError(f"{name}://...: addresses of this kind are not opened, only those of "
                            f"{known}{way_out}")
        if len(text) > _MOST_CHARACTERS or not text.isprintable() or re.search(r"\s", text):
            raise EfldError(f"{name}://...: expected an address of at most {_MOST_CHARACTERS} "
                            "characters, without spaces (%20 stands for one)")
        parts = _split(text, name)
        host = parts.hostname or ""
        if not host and SCHEMES[name].host:
            raise EfldError(f"{name}://...: expected the name of a host, as in {name}://host/path")
        stem, suffix = _file_name(parts, host)
        user, password = parts.username or None, parts.password
        return cls(
            full=parts.geturl(),
            shown=_shown(parts, host),
            scheme=name,
            host=host,
            request=parts._replace(netloc=_place(parts, host), fragment="").geturl(),
            user=None if user is None else unquote(user),
            password=None if user is None else unquote(password or ""),
            stem=stem,
            suffix=suffix,
        )


def scheme_of(text: str) -> str | None:
    """The scheme of a text that is meant as an address, in small letters; None if it is not."""
    start = _START.match(text)
    # With one slash it is a slip where the scheme is known, and any text elsewhere.
    if start is None or (start[2] == "/" and start[1].lower() not in SCHEMES):
        return None
    return start[1].lower()


def _split(text: str, name: str) -> SplitResult:
    """The parts of an address, of ASCII characters alone."""
    malformed = EfldError(
        f"{name}://...: not an address; in a user name or password, %40 stands for @, %2F for /, "
        "%3A for :, %3F for ? and %23 for #")
    try:
        parts = urlsplit(text)
        host, _ = parts.hostname or "", parts.port  # raises where the port is no number
        encoded = host if ":" in host else host.encode("idna").decode()
    except ValueError:
        raise malformed from None
    # A password with a slash would end the host, and be shown as a part of the path.
    if (not parts.netloc and not text.lower().startswith(f"{name}://")) or (
            parts.username is not None and "@" in parts.path + parts.query + parts.fragment):
        raise malformed
    if text.isascii():
        return parts
    login, at, _ = parts.netloc.rpartition("@")
    kept = "%/:=&?~#+!$,;'@()*[]"
    return SplitResult(
        name, quote(login, safe="%:") + at + _place(parts, encoded), quote(parts.path, safe=kept),
        quote(parts.query, safe=kept), quote(parts.fragment, safe=kept))


def _place(parts: SplitResult, host: str) -> str:
    """The host and its port as they stand in an address."""
    place = f"[{host}]" if ":" in host else host
    return place if parts.port is None else f"{place}:{parts.port}"


def _shown(parts: SplitResult, host: str) -> str:
    path = "/..." if _TELLING.search(parts.path) else parts.path
    query = "?..." if parts.query else ""
    return f"{parts.scheme}://{_place(parts, host)}{path}{query}"


def _file_name(parts: SplitResult, host: str) -> tuple[str, str]:
    """The stem and the suffix of a name for files: letters, digits, `_`, `-` and `.` alone."""
    tail = "" if _TELLING.search(parts.path) else unquote(parts.path).rstrip("/").rpartition("/")[2]
    stem, dot, suffix = tail.rpartition(".")
    if not stem or not re.fullmatch(r"[A-Za-z0-9]{1,5}", suffix):
        stem, dot, suffix = tail, "", ""
    place = host or f"{parts.scheme}{parts.port or ''}"
    words = (re.sub(r"[^A-Za-z0-9_.-]+", "_", word).strip("._-") for word in (place, stem))
    name = "_".join(word[:_MOST_OF_A_NAME] for word in words if word)
    return name or parts.scheme, dot + suffix
