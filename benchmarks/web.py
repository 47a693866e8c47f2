"""What models take in a browser, what the page weighs, and how its make-up looks.

    python benchmarks/web.py

Needs Node.js with npm, and Chromium (CHROMIUM says where, by default /usr/bin/chromium). Writes the
page with the shipped model by efld-export, serves it here, and measures in headless Chromium, by
turns: the shipped model as int8 and as float32, MediaPipe's face mesh and its short-range detector;
then tracked frames from a picture in memory to landmarks, the time from an empty cache to the first
face, and the bytes. Nothing else should run on the machine. Pictures are of rendered faces. Writes
benchmarks/web/: results.json, table.md and pictures.
"""

from __future__ import annotations

import importlib.util
import json
import shutil
import subprocess
import tempfile
import threading
from dataclasses import asdict
from pathlib import Path
from types import ModuleType
from typing import Any

import cv2
import numpy as np
from common import command

from efld_tf import files
from efld_tf.benchmarking.latency import current_conditions
from efld_tf.runtime import blazeface, mesh

ROOT = Path(__file__).parents[1]
OUTPUT = Path(__file__).parent / "web"
WEB = ROOT / "tools" / "web"
SIZES = {"640 x 480": (640, 480), "1280 x 720": (1280, 720)}
INT8, FLOAT = "EFLD int8", "EFLD float32"
MESH, DETECTOR = "MediaPipe's face mesh", "MediaPipe's short-range detector"
# Of each picture: the person, the turn of the head, and what the controls are set to.
LOOKS: dict[str, tuple[int, float, dict[str, Any]]] = {
    "natural": (0, 6.0, {"look": "Natural"}),
    "evening": (0, 6.0, {"look": "Evening"}),
    "bold": (1, -14.0, {"look": "Bold"}),
    "half": (2, 0.0, {"look": "Evening", "split": "50"}),
    "mesh": (3, 10.0, {"look": "None", "points": True, "mesh": True}),
}
# One product each, strong enough to be seen.
PRODUCTS: dict[str, dict[str, Any]] = {
    "foundation": {"foundation-strength": "100"},
    "blush": {"blush-strength": "80"},
    "eye shadow": {"shadow-strength": "90"},
    "eyebrows": {"brows-strength": "90"},
    "eyeliner": {"liner-strength": "100"},
    "lipstick, matte": {"lips-strength": "90", "lips-finish": "matte"},
    "lipstick, gloss": {"lips-strength": "90", "lips-finish": "gloss"},
}


def main() -> None:
    """Measures, draws and writes."""
    OUTPUT.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        site = Path(folder) / "site"
        command("efld-export", "research", "--web", site)
        command("efld-export", "research", "--float32", "--quiet", "--output",
                Path(folder) / "float32")
        request = {"models": _models(site, Path(folder) / "float32"), "weighed": _weighed(site),
                   "pictures": _pictures(site), "screenshots": _screenshots(Path(folder))}
        measured = {"conditions": asdict(current_conditions()), **in_browser(site, request)}
        _join(Path(folder))
    files.write_json(OUTPUT / "results.json", measured)
    (OUTPUT / "table.md").write_text(table(measured))
    print(table(measured))


def in_browser(site: Path, request: dict[str, Any]) -> dict[str, Any]:
    """What tools/web/bench.js measures of a page that is served here."""
    npm = shutil.which("npm") or "npm"
    subprocess.run([npm, "ci", "--no-audit", "--no-fund"], cwd=WEB, check=True)
    with _tool("serve_web").server(site) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_address[1]}/"
        done = subprocess.run(
            ["node", "bench.js"], cwd=WEB, input=json.dumps({**request, "site": address}),
            stdout=subprocess.PIPE, text=True, check=True)
        server.shutdown()
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def _tool(name: str) -> ModuleType:
    """A script of tools/ as a module."""
    spec = importlib.util.spec_from_file_location(name, ROOT / "tools" / f"{name}.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _models(site: Path, exported: Path) -> dict[str, str]:
    """The addresses of the models, below that of the page; those that are not there are copied."""
    (int8,) = (site / "models" / "research").glob("*.tflite")
    (floats,) = exported.glob("*.tflite")
    bench = site / "bench"
    bench.mkdir()
    shutil.copyfile(floats, bench / floats.name)
    face_mesh = blazeface.bundled(mesh.FILE)
    shutil.copyfile(face_mesh, bench / face_mesh.name)
    (detector,) = (site / "detector").glob("*.tflite")
    return {name: str(path.relative_to(site)) for name, path in (
        (INT8, int8), (FLOAT, bench / floats.name), (MESH, bench / face_mesh.name),
        (DETECTOR, detector))}


def _weighed(site: Path) -> dict[str, list[str]]:
    """The files that a visitor's browser fetches, by what they are."""
    build = site / "litert" / "wasm"
    groups = {
        "LiteRT.js": [build / "litert_wasm_internal.wasm", build / "litert_wasm_internal.js",
                      *(site / "litert").glob("*/index.js")],
        "module": [*(site / "efld").glob("*.js")],
        "page": [site / "index.html", *(site / "page").glob("*")],
        "model": [*(site / "models").glob("*.json"),
                  *(site / "models" / "research").glob("*.tflite"),
                  site / "models" / "research" / "landmarker.json"],
        "detector": [*(site / "detector").glob("*.tflite")],
    }
    return {name: [str(path) for path in paths] for name, paths in groups.items()}


def _pictures(site: Path) -> dict[str, str]:
    """A face in frames of each size."""
    plain = _tool("plain_faces")
    face = plain.plain_face(plain.PEOPLE[0], 480).image
    found = {}
    for name, (width, height) in SIZES.items():
        frame = np.full((height, width, 3), 120, np.uint8)
        left = (width - height) // 2
        frame[:, left : left + height] = cv2.resize(face, (height, height))
        path = site / f"bench/{width}.png"
        cv2.imwrite(str(path), frame[..., ::-1])
        found[name] = str(path.relative_to(site))
    return found


def _screenshots(folder: Path) -> list[dict[str, Any]]:
    """What to draw: the page as a whole, looks, and each product alone."""
    plain = _tool("plain_faces")

    def photo(person: int, yaw: float) -> str:
        path = folder / f"{person}_{yaw:g}.png"
        if not path.exists():
            image = plain.plain_face(plain.PEOPLE[person], 720, yaw=yaw).image
            cv2.imwrite(str(path), image[..., ::-1])
        return str(path)

    shots: list[dict[str, Any]] = [
        {"file": str(folder / "page.png"), "photo": photo(0, 6.0), "whole": True,
         "controls": {"look": "Evening"}}]
    off = {"split": "0", "points": False, "mesh": False}
    shots += [{"file": str(folder / f"look {name}.png"), "photo": photo(person, yaw),
               "controls": {**off, **controls}} for name, (person, yaw, controls) in LOOKS.items()]
    shots += [{"file": str(folder / f"product {name}.png"), "photo": photo(0, 0.0),
               "controls": {**off, "look": "None", **controls}}
              for name, controls in PRODUCTS.items()]
    return shots


def _join(folder: Path) -> None:
    """Writes page.jpg, looks.jpg and products.jpg."""
    page = cv2.imread(str(folder / "page.png"))
    cv2.imwrite(str(OUTPUT / "page.jpg"), page, [cv2.IMWRITE_JPEG_QUALITY, 85])
    for kind, names, columns in (("look", list(LOOKS), 5), ("product", list(PRODUCTS), 4)):
        tiles = []
        for name in names:
            tile = cv2.resize(cv2.imread(str(folder / f"{kind} {name}.png")), (400, 400),
                              interpolation=cv2.INTER_AREA)
            cv2.putText(tile, name, (10, 24), cv2.FONT_HERSHEY_SIMPLEX, 0.6, (255, 255, 255), 2,
                        cv2.LINE_AA)
            tiles.append(tile)
        tiles += [np.full_like(tiles[0], 255)] * (-len(tiles) % columns)
        rows = [np.hstack(tiles[start : start + columns])
                for start in range(0, len(tiles), columns)]
        cv2.imwrite(str(OUTPUT / f"{kind}s.jpg"), np.vstack(rows), [cv2.IMWRITE_JPEG_QUALITY, 85])


def table(measured: dict[str, Any]) -> str:
    """The results as Markdown."""
    builds = list(measured["latency"])
    lines = [f"Chromium {measured['chromium']}, headless; median ms of a run, by turns.", "",
             "| model | " + " | ".join(builds) + " |", "|---" * (len(builds) + 1) + "|"]
    for name in (INT8, FLOAT, MESH, DETECTOR):
        times = " | ".join(f"{measured['latency'][build][name]:.2f}" for build in builds)
        lines.append(f"| {name} | {times} |")
    lines += ["", "A tracked frame with one face, from a picture in memory to smoothed landmarks, "
              "with the detector every 0.1 s of the video's time.", "",
              "| frame | ms | frames/s |", "|---|---|---|"]
    lines += [f"| {size} | {row['milliseconds']:.1f} | {1000 / row['milliseconds']:.0f} |"
              for size, row in measured["tracking"].items()]
    lines += ["", "What a visitor fetches, in kB.", "", "| part | as it is | gzip | brotli |",
              "|---|---|---|---|"]
    rows = [*measured["weight"].items(), ("all", {
        kind: sum(row[kind] for row in measured["weight"].values())
        for kind in ("bytes", "gzip", "brotli")})]
    lines += [f"| {name} | " + " | ".join(
        f"{row[kind] / 1000:.0f}" for kind in ("bytes", "gzip", "brotli")) + " |"
        for name, row in rows]
    lines += ["", "From an empty cache, on this computer, to the first face that is shown: "
              f"{measured['start_seconds']:.1f} s."]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
