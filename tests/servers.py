"""Servers on 127.0.0.1 for tests: files and motion JPEG over HTTP, and a live stream over RTSP."""

from __future__ import annotations

import base64
import datetime
import ipaddress
import re
import socket
import socketserver
import ssl
import struct
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

USER, PASSWORD = "admin", "s3cr3t"
# RTP packets of MPEG-TS hold seven of its packets.
_TS_BYTES = 7 * 188


class Request(BaseHTTPRequestHandler):
    """What an answer is written to."""

    def log_message(self, *_: object) -> None:
        pass

    def begin(self, code: int = 200, **headers: object) -> None:
        """Writes the status and headers; `_` in their names stands for `-`."""
        self.send_response(code)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), str(value))
        self.end_headers()

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        answers = self.server.answers  # type: ignore[attr-defined]
        self.server.seen.append((self.path, dict(self.headers)))  # type: ignore[attr-defined]
        try:
            if path in answers:
                answers[path](self)
            else:
                self.send_error(404)
        except (BrokenPipeError, ConnectionResetError):
            pass  # who asked has seen enough


Answer = Callable[[Request], None]


def file(content: bytes, *, ranges: bool = True, short: int = 0) -> Answer:
    """Answers with a file.

    Args:
      ranges: whether parts of it can be asked for.
      short: by how many bytes it is cut, after which the connection ends.
    """

    def answer(request: Request) -> None:
        wanted = re.fullmatch(r"bytes=(\d+)-", request.headers.get("Range", "")) if ranges else None
        begin = int(wanted[1]) if wanted else 0
        headers: dict[str, object] = {"Content_Length": len(content) - begin}
        if wanted:
            headers["Content_Range"] = f"bytes {begin}-{len(content) - 1}/{len(content)}"
        request.begin(206 if wanted else 200, **headers)
        request.wfile.write(content[begin : len(content) - short])

    return answer


def behind_a_password(answer: Answer) -> Answer:
    """Answers those who log in as `USER`."""
    login = "Basic " + base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()

    def checked(request: Request) -> None:
        if request.headers.get("Authorization") == login:
            answer(request)
        else:
            request.begin(401, WWW_Authenticate='Basic realm="camera"', Content_Length=0)

    return checked


def redirect(target: str) -> Answer:
    """Answers with another address."""
    return lambda request: request.begin(302, Location=target, Content_Length=0)


def motion_jpeg(
    pictures: list[bytes], wait: Callable[[int], object] = lambda index: None
) -> Answer:
    """Answers with pictures one after the other; `wait` is called before each, and at the end."""

    def answer(request: Request) -> None:
        request.begin(Content_Type="multipart/x-mixed-replace; boundary=frame")
        for index, picture in enumerate(pictures):
            wait(index)
            request.wfile.write(b"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n"
                                % len(picture) + picture + b"\r\n")
        wait(len(pictures))

    return answer


@contextmanager
def http(answers: Mapping[str, Answer], certificate: Path | None = None) -> Iterator[Server]:
    """Serves answers by their paths, over TLS with a `certificate` that holds its key."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Request)
    server.daemon_threads = True
    server.answers = answers  # type: ignore[attr-defined]
    server.seen = []  # type: ignore[attr-defined]
    if certificate is not None:
        server.socket = _secured(server.socket, certificate)
    scheme = "http" if certificate is None else "https"
    with _running(server):
        yield Server(f"{scheme}://127.0.0.1:{server.server_port}", server.seen)  # type: ignore[attr-defined]


class Server:
    """A server that runs.

    Attributes:
      address: its address, without a `/` at the end.
      seen: the path and the headers of each request so far.
    """

    def __init__(self, address: str, seen: list[tuple[str, dict[str, str]]]):
        self.address, self.seen = address, seen

    def with_login(self, path: str) -> str:
        """An address with user name and password."""
        return self.address.replace("//", f"//{USER}:{PASSWORD}@") + path


@contextmanager
def rtsp(
    stream: bytes, wait: Callable[[int], object] = lambda index: None,
    certificate: Path | None = None,
) -> Iterator[Server]:  # fmt: skip
    """Serves a camera that asks for a password and shows MPEG-TS.

    Args:
      wait: called before each packet, and at the end, after which the connection ends.
    """
    seen: list[tuple[str, dict[str, str]]] = []

    class Camera(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            try:
                while line := self.rfile.readline().decode():
                    method, url, _ = line.split()
                    headers = dict(iter(self._header, None))
                    seen.append((f"{method} {url}", headers))
                    self._answer(method, url, headers)
                    if method == "PLAY":
                        self._play()
                    if method in ("PLAY", "TEARDOWN"):
                        return
            except (BrokenPipeError, ConnectionResetError):
                pass

        def _header(self) -> tuple[str, str] | None:
            line = self.rfile.readline().decode().strip()
            return tuple(line.split(": ", 1)) if line else None  # type: ignore[return-value]

        def _answer(self, method: str, url: str, headers: dict[str, str]) -> None:
            login = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
            allowed = headers.get("Authorization") == f"Basic {login}" or method == "OPTIONS"
            lines = ["RTSP/1.0 200 OK" if allowed else "RTSP/1.0 401 Unauthorized",
                     f"CSeq: {headers['CSeq']}", "Session: 1"]
            lines += [] if allowed else ['WWW-Authenticate: Basic realm="camera"']
            about = ""
            if allowed and method == "DESCRIBE":
                about = ("v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=camera\r\nt=0 0\r\n"
                         "m=video 0 RTP/AVP 33\r\na=control:track\r\n")
                lines += [f"Content-Base: {url}/", "Content-Type: application/sdp"]
            if method == "SETUP":
                lines += ["Transport: RTP/AVP/TCP;unicast;interleaved=0-1"]
            lines += [f"Content-Length: {len(about)}", "", about]
            self.wfile.write("\r\n".join(lines).encode())

        def _play(self) -> None:
            parts = range(0, len(stream), _TS_BYTES)
            for number, begin in enumerate(parts):
                wait(number)
                packet = struct.pack(">BBHII", 0x80, 33, number % (1 << 16), number * 3000, 1) \
                    + stream[begin : begin + _TS_BYTES]
                self.wfile.write(struct.pack(">cBH", b"$", 0, len(packet)) + packet)
            wait(len(parts))

    server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Camera)
    server.daemon_threads = True
    if certificate is not None:
        server.socket = _secured(server.socket, certificate)
    scheme = "rtsp" if certificate is None else "rtsps"
    with _running(server):
        yield Server(f"{scheme}://127.0.0.1:{server.server_address[1]}", seen)


@contextmanager
def silent() -> Iterator[int]:
    """A port where connections are taken, and nothing is ever answered."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield listener.getsockname()[1]


def own_certificate(path: Path) -> Path:
    """Writes a certificate of 127.0.0.1, with its key, that nobody has signed."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "camera")])
    now = datetime.datetime.now(datetime.timezone.utc)
    address = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    certificate = (
        x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
        .serial_number(1).not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1)).add_extension(address, critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8,
                          serialization.NoEncryption())
        + certificate.public_bytes(serialization.Encoding.PEM))
    return path


def _secured(listener: socket.socket, certificate: Path) -> ssl.SSLSocket:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    return context.wrap_socket(listener, server_side=True)


@contextmanager
def _running(server: socketserver.BaseServer) -> Iterator[None]:
    server.handle_error = lambda *_: None  # type: ignore[method-assign] - who asked has gone
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
