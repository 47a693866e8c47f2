"""Addresses: what is shown of them, the names that they give, and what is refused."""

from __future__ import annotations

import re
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from efld_tf.errors import EfldError
from efld_tf.urls import SCHEMES, Url, scheme_of
from tests.errors import assert_refusal, refuses


@pytest.mark.parametrize(
    ("text", "shown", "name"),
    [
        ("http://host/a/photo.jpg", "http://host/a/photo.jpg", "host_photo.jpg"),
        ("HTTPS://Host:8443/a/b%20c.JPG?token=1#x", "https://host:8443/a/b%20c.JPG?...",
         "host_b_c.JPG"),
        ("rtsp://admin:p%40ss@192.168.1.5:554/stream1", "rtsp://192.168.1.5:554/stream1",
         "192.168.1.5_stream1"),
        ("rtsp://camera/user=admin&password=x&channel=1.sdp", "rtsp://camera/...", "camera"),
        ("http://u:p@host/cgi?usr=admin&pwd=12", "http://host/cgi?...", "host_cgi"),
        ("https://host/@someone/a.jpg", "https://host/...", "host"),
        ("http://host", "http://host", "host"),
        ("http://example.com/", "http://example.com/", "example.com"),
        ("http://host/a/b/", "http://host/a/b/", "host_b"),
        ("http://host/..%2f..%2fetc%2fpasswd", "http://host/..%2f..%2fetc%2fpasswd", "host_passwd"),
        ("http://host/.hidden", "http://host/.hidden", "host_hidden"),
        ("http://[::1]:80/x.mp4", "http://[::1]:80/x.mp4", "1_x.mp4"),
        ("udp://@:1234", "udp://:1234", "udp1234"),
        ("udp://@239.0.0.1:1234", "udp://239.0.0.1:1234", "239.0.0.1"),
        ("http://bücher.de/ä.jpg", "http://xn--bcher-kva.de/%C3%A4.jpg", "xn--bcher-kva.de.jpg"),
        ("http://host/" + "a" * 300 + ".mp4", "http://host/" + "a" * 300 + ".mp4",
         "host_" + "a" * 80 + ".mp4"),
    ],
)
def test_what_is_shown_and_named(text: str, shown: str, name: str) -> None:
    url = Url.parse(text)
    assert (str(url), url.stem + url.suffix) == (shown, name)


def test_what_is_opened_is_whole() -> None:
    url = Url.parse("rtsp://admin:p%40ss@Camera:554/stream?tcp#x")
    assert url.full == "rtsp://admin:p%40ss@Camera:554/stream?tcp#x"
    assert (url.user, url.password, url.host) == ("admin", "p@ss", "camera")
    url = Url.parse("http://us%3Aer:@host/ä?ö=1#x")
    assert url.request == "http://host/%C3%A4?%C3%B6=1"
    assert (url.user, url.password) == ("us:er", "")
    assert url.full == "http://us%3Aer:@host/%C3%A4?%C3%B6=1#x"
    assert Url.parse("http://host/a").user is None


@given(st.text(min_size=3).filter(lambda secret: secret.strip("*./_-%:") and secret != "..."),
       st.sampled_from(sorted(SCHEMES)), st.booleans())
def test_no_secret_is_shown(secret: str, scheme: str, quoted: bool) -> None:
    """Whatever a user name and a password hold, and whether they are written as they should be."""
    marked = f"Qx{secret}Zy"
    written = quote(marked, safe="", errors="replace") if quoted else marked
    texts = []
    for start in (f"{written}:{written}@", f"admin:{written}@", f"{written}@"):
        text = f"{scheme}://{start}host/stream"
        try:
            url = Url.parse(text)
        except EfldError as error:
            assert not quoted, error
            assert_refusal(error, f"{scheme}://...")
            texts.append(str(error))
        else:
            texts += [str(url), repr(url), url.stem, url.suffix]
            if quoted:
                assert url.user is not None and str(url) == f"{scheme}://host/stream"
    assert not any("Qx" in text for text in texts), texts


@given(st.text())
def test_names_are_safe_whatever_the_path(path: str) -> None:
    try:
        url = Url.parse(f"http://host/{path}")
    except EfldError:
        return
    assert re.fullmatch(r"[A-Za-z0-9]([A-Za-z0-9_.-]*[A-Za-z0-9])?", url.stem), url.stem
    assert re.fullmatch(r"(\.[A-Za-z0-9]{1,5})?", url.suffix) and ".." not in url.suffix
    assert str(url).isprintable() and url.full.isascii()


@pytest.mark.parametrize(
    ("text", "facts"),
    [
        ("ftp://user:pw@host/a.jpg", ["ftp://...", "http", "rtsp", "srt"]),
        ("file:///etc/passwd", ["file://...", "path"]),
        ("concat://a|b", ["concat://...", "http"]),
        ("http://", ["http://...", "host"]),
        ("rtsp:///stream", ["rtsp://...", "host"]),
        ("http:/user:pw@host/x", ["http://...", "%40"]),
        ("http://user:p/w@host/x", ["http://...", "%2F"]),
        ("http://user:pw@host/x@y", ["http://...", "%40"]),
        ("http://host:99999/", ["http://...", "address"]),
        ("http://[::1/", ["http://...", "address"]),
        ("http://host/a b.jpg", ["http://...", "%20"]),
        ("http://host/a\nb.jpg", ["http://...", "spaces"]),
        ("http://host/" + "a" * 5000, ["http://...", 4000]),
    ],
)
def test_what_is_refused(text: str, facts: list[object]) -> None:
    with refuses(*facts):
        Url.parse(text)


def test_what_is_meant_as_an_address() -> None:
    assert scheme_of("RTSP://camera/stream") == "rtsp" and scheme_of("ftp://host") == "ftp"
    assert scheme_of("http:/user:pw@host") == "http"  # a slip, whose password is not shown
    for text in ("photo.jpg", "a:b.jpg", "C:/photos/a.jpg", "json:/data/faces.jsonl", "./http://a",
                 "http:a%d.mp4", ""):
        assert scheme_of(text) is None
