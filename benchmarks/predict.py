"""`efld-predict` from start to finish, as a person waits for it.

    python benchmarks/predict.py --against /path/to/a/checkout/of/another/commit

Without `--against` this commit alone is measured, else both by turns. A rendered face in a photo of
1 and of 12 megapixels, and seven people in one, each in a fresh process that writes the annotated
picture and the table; files are in the page cache. A folder of 200 photos of half a megapixel shows
the rate. Writes benchmarks/predict/: results.json, table.md, and faces.jpg, the annotated picture
of the seven people.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict
from pathlib import Path

import cv2
import numpy as np

from efld_tf.annotations.synthetic.render import render_face
from efld_tf.benchmarking.latency import current_conditions

OUTPUT = Path(__file__).parent / "predict"
PROGRAM = str(Path(sys.executable).parent / "efld-predict")
RUNS, FOLDER_RUNS = 10, 5
PHOTOS = 200
SIZES = {"12 megapixels": (4000, 3000), "1 megapixel": (1200, 900)}
FOLDER_SIZE = (840, 630)


def photo(path: Path, size: tuple[int, int], index: int) -> None:
    """A rendered face of two fifths of the height before a noisy wall, as JPEG."""
    width, height = size
    random = np.random.default_rng(index)
    corners = random.integers(90, 160, (2, 2, 3)).astype(np.uint8)
    scene = cv2.resize(corners, size, interpolation=cv2.INTER_LINEAR)
    side = 2 * height // 5
    face = cv2.resize(render_face(5, index % 20, 512).image, (side, side),
                      interpolation=cv2.INTER_AREA)
    left, top = (width - side) // 3, (height - side) // 2
    scene[top : top + side, left : left + side] = face
    noise = random.integers(-4, 5, scene.shape, np.int16)
    image = np.clip(scene + noise, 0, 255).astype(np.uint8)
    cv2.imwrite(str(path), image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 90])


def group(path: Path) -> None:
    """Rendered people of several sizes, some of whom lean, cut out of their pictures."""
    image = np.empty((600, 1200, 3), np.uint8)
    image[:] = np.linspace(225, 150, 600)[:, None, None].astype(np.uint8)
    people = ((0, 380, 170, 390, 0), (3, 300, 480, 440, 18), (7, 260, 740, 430, -14),
              (12, 340, 1020, 400, 6), (15, 200, 330, 120, 0), (4, 190, 610, 160, 25),
              (21, 190, 860, 170, -20))
    for index, side, x, y, degrees in people:
        face = render_face(8, index, side).image
        matrix = cv2.getRotationMatrix2D(((side - 1) / 2,) * 2, degrees, 1)
        matrix[:, 2] += np.array([x, y]) - side / 2
        mask = np.zeros((side, side), np.float32)
        cv2.ellipse(mask, (side // 2, side // 2), (int(0.42 * side), int(0.48 * side)), 0, 0, 360,
                    1.0, -1)
        mask = cv2.GaussianBlur(mask, (0, 0), side / 60)
        size = image.shape[1::-1]
        alpha = cv2.warpAffine(mask, matrix, size)[..., None]
        image = (alpha * cv2.warpAffine(face, matrix, size) + (1 - alpha) * image).astype(np.uint8)
    cv2.imwrite(str(path), image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 95])


def draw(folder: Path) -> None:
    """What the command makes of the group, for README."""
    group(folder / "group.jpg")
    subprocess.run([PROGRAM, "group.jpg", "--quiet"], cwd=folder, check=True)
    picture = cv2.imread(str(folder / "predictions" / "pictures" / "group.jpg"))
    cv2.imwrite(str(OUTPUT / "faces.jpg"), picture, [cv2.IMWRITE_JPEG_QUALITY, 88])


def run(folder: Path, arguments: tuple[str, ...], checkout: Path | None = None) -> float:
    """Seconds from start to end of the command; it must find faces in most photos."""
    environment = dict(os.environ)
    if checkout is not None:
        environment["PYTHONPATH"] = str(checkout)
    begin = time.perf_counter()
    done = subprocess.run([PROGRAM, *arguments], cwd=folder, check=True, capture_output=True,
                          text=True, env=environment)
    seconds = time.perf_counter() - begin
    told = [line for line in done.stdout.splitlines() if not line.startswith("note: ")]
    found = [line for line in told if re.search(r": [1-9]\d* faces?$", line)]
    if len(found) < 0.9 * (len(told) - 1):
        raise SystemExit(f"expected faces in 9 of 10 photos:\n{done.stdout}")
    return seconds


def measured(
    folder: Path, name: str, arguments: tuple[str, ...], photos: int, other: Path | None
) -> dict:
    """A row of the results."""
    checkouts = [None] if other is None else [None, other]
    times: list[list[float]] = [[] for _ in checkouts]
    for turn in range((RUNS if photos == 1 else FOLDER_RUNS) + 1):
        for seconds, checkout in zip(times, checkouts, strict=True):
            took = run(folder, arguments, checkout)
            if turn:  # the first fills the page cache
                seconds.append(took)
    median = float(np.median(times[0]))
    row = {"name": name, "arguments": list(arguments), "seconds_median": median,
           "seconds_lowest": min(times[0]), "seconds_highest": max(times[0]), "photos": photos,
           "photos_per_second": photos / median}
    if other is not None:
        row["seconds_median_of_the_other"] = float(np.median(times[1]))
    return row


def commit_of(checkout: Path) -> str:
    """The commit of a checkout."""
    done = subprocess.run(["git", "rev-parse", "--short=12", "HEAD"], cwd=checkout, check=True,
                          capture_output=True, text=True)
    return done.stdout.strip()


def table(found: dict) -> str:
    """The results as Markdown."""
    conditions, other = found["conditions"], found["against"]
    lines = [f"`efld-predict` with the shipped model in a fresh process, {conditions['device']}, "
             f"{found['cores']} cores, median of {RUNS} runs (of {FOLDER_RUNS} for folders)"
             + (f", by turns with {other}." if other else "."), "",
             "| what | start to finish (lowest to highest) | photos/s |"
             + (f" time by that of {other} |" if other else ""),
             "|---|---|---|" + "---|" * bool(other)]
    for row in found["rows"]:
        rate = f"{row['photos_per_second']:.0f}" if row["photos"] > 1 else ""
        ratio = row["seconds_median"] / row["seconds_median_of_the_other"] if other else 0
        lines.append(
            f"| {row['name']} | {row['seconds_median']:.2f} s ({row['seconds_lowest']:.2f} to "
            f"{row['seconds_highest']:.2f}) | {rate} |" + f" {ratio:.2f} |" * bool(other))
    return "\n".join(lines) + "\n"


def main() -> None:
    """Measures and writes the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--against", type=Path, help="a checkout of another commit")
    other = parser.parse_args().against
    OUTPUT.mkdir(exist_ok=True)
    rows = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        draw(folder)
        (folder / "photos").mkdir()
        for title, size in SIZES.items():
            file = f"{size[0]}.jpg"
            photo(folder / file, size, 0)
            rows.append(measured(folder, f"one photo of {title}", (file,), 1, other))
            rows.append(measured(folder, f"the same, only the table (`--save json`), {title}",
                                 (file, "--save", "json"), 1, other))
        rows.append(measured(folder, "one photo of seven people", ("group.jpg",), 1, other))
        for index in range(PHOTOS):
            photo(folder / "photos" / f"{index}.jpg", FOLDER_SIZE, index)
        pixels = "x".join(map(str, FOLDER_SIZE))
        for title, more in (("pictures and table", ()), ("only the table", ("--save", "json"))):
            rows.append(measured(folder, f"{PHOTOS} photos of {pixels}, {title}",
                                 ("photos", *more), PHOTOS, other))
    found = {"conditions": asdict(current_conditions()), "cores": os.cpu_count(), "runs": RUNS,
             "against": None if other is None else commit_of(other), "rows": rows}
    (OUTPUT / "results.json").write_text(json.dumps(found, indent=2) + "\n")
    (OUTPUT / "table.md").write_text(table(found))
    print((OUTPUT / "table.md").read_text())


if __name__ == "__main__":
    main()
