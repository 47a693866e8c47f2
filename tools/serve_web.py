"""Serves a folder, as of `efld-export --web`, on this computer and opens it; `make web` runs it.

    python tools/serve_web.py FOLDER [--port 8765] [--no-open]

The answers have the headers by which pages are cross-origin isolated, without which LiteRT.js has
one thread.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import http.server
import threading
import webbrowser
from collections.abc import Iterator
from pathlib import Path


class Handler(http.server.SimpleHTTPRequestHandler):
    """Serves files with the headers of isolation."""

    protocol_version = "HTTP/1.1"
    extensions_map = http.server.SimpleHTTPRequestHandler.extensions_map | {
        ".wasm": "application/wasm", ".js": "text/javascript"}

    def end_headers(self) -> None:
        self.send_header("Cross-Origin-Opener-Policy", "same-origin")
        self.send_header("Cross-Origin-Embedder-Policy", "require-corp")
        self.send_header("Cache-Control", "no-cache")
        super().end_headers()

    def log_message(self, *_: object) -> None:
        """Says nothing of each file."""


def server(folder: Path, port: int = 0) -> http.server.ThreadingHTTPServer:
    """A server of a folder, for this computer alone; port 0 is any that is free."""
    handler = functools.partial(Handler, directory=str(folder))
    return http.server.ThreadingHTTPServer(("127.0.0.1", port), handler)


@contextlib.contextmanager
def serving(folder: Path) -> Iterator[str]:
    """Serves a folder during the block, and yields the address."""
    with server(folder) as found:
        threading.Thread(target=found.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{found.server_address[1]}/"
        found.shutdown()


def main() -> None:
    """Serves until it is interrupted."""
    parser = argparse.ArgumentParser(description="Serve a folder on this computer.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--port", type=int, default=8765)
    parser.add_argument("--no-open", action="store_true", help="open no browser")
    arguments = parser.parse_args()
    if not arguments.folder.is_dir():
        parser.error(f"{arguments.folder}: no such folder; efld-export --web writes one")
    try:
        found = server(arguments.folder, arguments.port)
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or error
        parser.error(f"port {arguments.port}: {reason}; name another with --port")
    address = f"http://localhost:{found.server_address[1]}/"
    print(f"{address}   (Ctrl+C ends it)", flush=True)
    if not arguments.no_open:
        webbrowser.open(address)
    try:
        found.serve_forever()
    except KeyboardInterrupt:
        print()


if __name__ == "__main__":
    main()
