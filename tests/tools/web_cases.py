"""What the tests of the web page look at: rendered faces in photos and in a video."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np

import efld_tf
from efld_tf.annotations.synthetic.render import SyntheticFace, render_face
from efld_tf.arrays import Floats, Image
from tools.plain_faces import plain_face

PHOTOS, FRAMES = 12, 48
WIDTH, HEIGHT = 640, 480
SCHEMA = "ibug51"


def write(folder: Path) -> None:
    """Writes photos with the toolkit's own points, and videos with the true ones."""
    folder.mkdir()
    _write_photos(folder)
    _write_video(folder / "camera.mjpeg", plain_face(14, 480), folder / "camera.json")
    grey = np.full((HEIGHT, WIDTH, 3), 128, np.uint8)
    (folder / "nobody.mjpeg").write_bytes(8 * _jpeg(grey))
    _write_made_up(folder)


def _write_photos(folder: Path) -> None:
    """Rendered photos, and what `efld-predict` finds in them."""
    landmarker = efld_tf.load("research")
    expected = []
    for index in range(PHOTOS):
        name = f"photo_{index}.png"
        face = render_face(seed=33, index=index, size=(320, 480, 640)[index % 3])
        cv2.imwrite(str(folder / name), face.image[..., ::-1])
        expected.append({"file": name, "faces": [
            {"points": found.points.tolist(), "confidence": found.confidence}
            for found in landmarker(folder / name)]})
    (folder / "photos.json").write_text(json.dumps(expected))


def _write_video(path: Path, face: SyntheticFace, truth: Path) -> None:
    """A face that moves, turns and comes nearer, and where its points are in each frame."""
    points, frames, places = face.points[SCHEMA], [], []
    for index in range(FRAMES):
        phase = 2 * np.pi * index / FRAMES
        matrix = cv2.getRotationMatrix2D(
            (240.0, 240.0), 8 * np.sin(phase), 0.8 + 0.1 * np.cos(phase))
        matrix[:, 2] += [80 + 40 * np.sin(phase), 10 * np.cos(2 * phase)]
        frames.append(_jpeg(cv2.warpAffine(
            face.image, matrix, (WIDTH, HEIGHT), flags=cv2.INTER_AREA,
            borderMode=cv2.BORDER_REPLICATE)))
        places.append((points @ matrix[:, :2].T + matrix[:, 2]).round(2).tolist())
    path.write_bytes(b"".join(frames))
    truth.write_text(json.dumps(places))


def _write_made_up(folder: Path) -> None:
    """A face with open lips, and pixels of its lips, its teeth and what is behind it."""
    face = plain_face(14, 480, mouth_gap=9.0)
    cv2.imwrite(str(folder / "open.png"), face.image[..., ::-1])
    points = face.points["ibug68"]
    outer, inner = _filled(points[48:60], face.image), _filled(points[60:68], face.image)
    lips = cv2.erode(outer, _square(5)) & (1 - cv2.dilate(inner, _square(7)))
    head = cv2.dilate(_filled(_hull(points), face.image), _square(161))
    masks = {"lips": lips, "teeth": cv2.erode(inner, _square(5)), "behind": 1 - head}
    (folder / "open.json").write_text(json.dumps(
        {name: np.argwhere(mask > 0)[:, ::-1].tolist() for name, mask in masks.items()}))


def _square(side: int) -> Image:
    return np.ones((side, side), np.uint8)


def _hull(points: Floats) -> Floats:
    return cv2.convexHull(points.astype(np.float32))[:, 0]


def _filled(points: Floats, image: Image) -> Image:
    mask = np.zeros(image.shape[:2], np.uint8)
    cv2.fillPoly(mask, [np.round(points).astype(np.int32)], 1)
    return mask


def _jpeg(image: Image) -> bytes:
    return cv2.imencode(".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 92])[1].tobytes()
