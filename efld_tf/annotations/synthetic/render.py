"""Renders one synthetic face: samples, paints, projects, lights and photographs it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import cv2
import numpy as np

from efld_tf.annotations.synthetic import glasses, mask, rare, scene, shading
from efld_tf.annotations.synthetic.atlas import Atlas
from efld_tf.annotations.synthetic.camera import Camera
from efld_tf.annotations.synthetic.curves import CHIN_Y
from efld_tf.annotations.synthetic.landmarks import all_points, in_space, seen
from efld_tf.annotations.synthetic.parameters import FaceParameters, sample_parameters
from efld_tf.annotations.synthetic.rasterizer import grid_triangles, rasterize
from efld_tf.annotations.synthetic.surface import Head
from efld_tf.annotations.synthetic.texture import paint_face
from efld_tf.errors import EfldError

MIN_SIZE, MAX_SIZE = 32, 1024
MOST_YAW = 90
GENERATOR_VERSION = 1  # raise it whenever the same seed gives other pixels
_MESH_STEP = 4  # in texels of the half-size grid


@dataclass(frozen=True, eq=False)
class SyntheticFace:
    """A rendered face.

    Attributes:
      image: [size, size, 3] uint8 RGB.
      points: for each schema (`FORMATS`), [N, 2] float32 in pixels, pixel centres at whole numbers.
      attributes: yaw, pitch, roll in degrees (positive: nose to the image's right, nose up, image
        turned clockwise); eye_opening and mouth_opening in [0, 1]; smile in about [-1, 1];
        skin_tone, the skin's mean albedo in [0, 255]; blur in pixels; glasses, occluded and
        make_up, 0 or 1; light_contrast, key light / all light.
      head, camera: what was drawn, and how it is projected to the image's pixels.
    """

    image: np.ndarray
    points: dict[str, np.ndarray]
    attributes: dict[str, float]
    head: Head
    camera: Camera

    @property
    def depth(self) -> np.ndarray:
        """Of `ibug68_3d`, how far each point is before the neck's middle: [68] float32, pixels."""
        depth: np.ndarray = self.camera.scale * in_space(self.head, self.camera.project)[:, 2]
        return depth.astype(np.float32)

    @property
    def visible(self) -> np.ndarray:
        """Of `ibug68_3d`, which points the head itself does not hide: [68] bool."""
        return seen(self.head, self.camera.project)


def render_face(
    seed: int, index: int, size: int = 256, yaw: float | None = None,
    odds: Mapping[str, float] | None = None,
) -> SyntheticFace:
    """Renders face number `index` of the data set `seed`; the same arguments give the same bytes.

    The tight box of the 68 points takes 45 to 65 % of the image's side, a little off its centre.

    Args:
      seed: the data set, not negative.
      index: the face in it, not negative.
      size: side of the image in pixels, 32 to 1024.
      yaw: the turn of the head in degrees, as in `attributes`, -90 to 90; random if None, and then
        rarely above 50. Beyond that the points of the far side are hidden.
      odds: how probable each of `rare.KINDS` is, beside what there is without.

    Raises:
      EfldError: an argument is out of its range.
    """  # fmt: skip
    if yaw is not None and not -MOST_YAW <= yaw <= MOST_YAW:
        raise EfldError(f"synthetic faces: yaw must be -{MOST_YAW} to {MOST_YAW}, got {yaw}")
    if not MIN_SIZE <= size <= MAX_SIZE:
        raise EfldError(f"synthetic faces: size must be {MIN_SIZE} to {MAX_SIZE}, got {size}")
    if seed < 0 or index < 0:
        raise EfldError(f"synthetic faces: seed and index must not be negative: {seed}, {index}")
    rng = np.random.default_rng([seed, index])
    face = sample_parameters(rng)
    if yaw is not None:
        face = replace(face, pose=replace(face.pose, yaw=yaw))
    return compose(face, rng, size, drawn=rare.draw(odds, seed, index) if odds else None)


def compose(
    face: FaceParameters, rng: np.random.Generator, size: int, *, apart: bool = False,
    drawn: rare.Rare | None = None,
) -> SyntheticFace:
    """Renders the given face in a random scene; see `render_face`.

    Args:
      apart: whether each part of the scene has random numbers of its own, so that the same `rng`
        gives the same scene around the same person in another pose.
      drawn: what is rare about the face; None for nothing.
    """  # fmt: skip
    drawn = drawn or rare.none()
    if rare.CLOSED_EYES in drawn.kinds:
        face = rare.with_closed_eyes(face, drawn.rng)
    framing, lighting, behind, drawing, wearing, hiding, taking = \
        rng.spawn(7) if apart else [rng] * 7
    head = Head(face)
    camera, points = _frame(head, framing, size)
    lights = shading.sample_lights(lighting)
    if rare.HARD_LIGHT in drawn.kinds:
        lights = shading.hard(lights, drawn.rng)
    # The image is drawn larger than needed, so that edges come out smooth.
    factor = 1.5 if size <= 200 else 1.25 if size <= 320 else 1.0
    inner = round(size * factor)
    factor = inner / size

    def project(vertices: np.ndarray, s: np.ndarray | None = None) -> np.ndarray:
        """Projects vertices to pixels of the larger image."""
        placed = camera.project(vertices, s)
        placed[..., :2] = (placed[..., :2] + 0.5) * factor - 0.5
        return placed

    image = scene.background(behind, inner)
    texels = float(np.clip(1.5 * camera.scale * factor, 0.9, 4))
    _draw_head(head, drawing, lights, project, image, texels)
    if rare.MASK in drawn.kinds:
        mask.wear(drawn.rng, image, head, lights, project, camera.scale * factor)
    # Ordinary glasses would lie below the rare ones; their random numbers are drawn all the same.
    instead = rare.SUNGLASSES in drawn.kinds
    worn = glasses.wear(
        wearing, image.copy() if instead else image, head, project, camera.scale * factor)
    if instead:
        worn = glasses.wear(
            drawn.rng, image, head, project, camera.scale * factor, sunglasses=True)
    box = np.concatenate([points["ibug68"].min(0), points["ibug68"].max(0)]) * factor
    occluder = scene.occlude(hiding, image, box, face.look.skin)
    if rare.HAND in drawn.kinds:
        occluder = scene.occlude(drawn.rng, image, box, face.look.skin, hand=True)
    if inner != size:
        image = cv2.resize(image, (size, size), interpolation=cv2.INTER_AREA)
    image, blur = scene.photograph(taking, image)
    hidden = bool(occluder) or worn == "sunglasses" or rare.MASK in drawn.kinds
    attributes = _attributes(face, lights, blur, worn, hidden)
    return SyntheticFace(image, points, attributes, head, camera)


def _attributes(
    face: FaceParameters, lights: shading.Lights, blur: float, worn: str, hidden: bool
) -> dict[str, float]:
    """What is told of a face, see `SyntheticFace`."""
    expression, look = face.expression, face.look
    return {
        "yaw": face.pose.yaw,
        "pitch": face.pose.pitch,
        "roll": face.pose.roll,
        "eye_opening": sum(expression.eye_opening) / 2,
        "mouth_opening": expression.mouth_gap / 27,
        "smile": sum(expression.smile) / 2,
        "skin_tone": float(look.skin.mean()),
        "blur": blur,
        "glasses": float(bool(worn)),
        "occluded": float(hidden),
        "make_up": float(look.eye_shadow > 0),
        "light_contrast": float(lights.key_colour.sum() / (
            lights.key_colour + lights.ambient + lights.fill_colour).sum()),
    }  # fmt: skip


def _frame(head: Head, rng: np.random.Generator, size: int) -> tuple[Camera, dict[str, np.ndarray]]:
    """A camera that shows the face at a random size and place in the image, and its points."""
    curves = head.curves
    camera = Camera(head.face.pose, float(curves.lowered(CHIN_Y)))
    share, offset = rng.uniform(0.45, 0.65), rng.uniform(-0.06, 0.06, 2)
    # The box of the points depends on the view, and is measured at unit scale.
    flat = all_points(head, camera.project)
    low, high = flat["ibug68"].min(0), flat["ibug68"].max(0)
    scale = share * size / float((high - low).max())
    shift = (size - 1) / 2 + offset * size - scale * (low + high) / 2
    placed = {name: (scale * xy + shift).astype(np.float32) for name, xy in flat.items()}
    return Camera(camera.pose, camera.chin, scale, (float(shift[0]), float(shift[1]))), placed


def _draw_head(
    head: Head, rng: np.random.Generator, lights: shading.Lights,
    project: Callable[..., np.ndarray], image: np.ndarray, texels: float,
) -> None:
    """Draws the head over `image` [S, S, 3] uint8, with `texels` of the texture a millimetre.

    `project(points, s)` gives (x, y, depth) in the image's pixels, see `Camera.project`.
    """  # fmt: skip
    atlas = Atlas(texels)
    texture = paint_face(head.face, atlas, rng)
    # Geometry and light vary slowly, so that half the texture's resolution is enough.
    columns, rows = np.arange(0.5, atlas.width, 2), np.arange(0.5, atlas.height, 2)
    angle, s = atlas.places(rows, columns)
    relief = head.relief(angle, s)
    grid = head.haired(angle, s, relief)
    pose, gloss = head.face.pose, head.face.look.gloss
    light = np.zeros((atlas.shape[0] // 2, -(-atlas.shape[1] // 2), 4), np.float32)
    light[:, : atlas.width // 2] = shading.irradiance(
        shading.normals(grid), relief, lights, pose, gloss, 2 / atlas.scale
    )
    pick_rows = np.r_[0 : len(rows) - 1 : _MESH_STEP, len(rows) - 1]
    pick_columns = np.r_[0 : len(columns) - 1 : _MESH_STEP, len(columns) - 1]
    mesh = grid[np.ix_(pick_rows, pick_columns)]
    placed = [project(mesh, np.broadcast_to(s[pick_rows], mesh.shape[:2])).reshape(-1, 3)]
    uv = [np.stack(np.meshgrid(columns[pick_columns], rows[pick_rows]), -1).reshape(-1, 2)]
    triangles = [grid_triangles(len(pick_rows), len(pick_columns))]
    for side in (0, 1) if ears_shown(head.face) else ():
        ear = head.ear(side)
        patch_rows, patch_columns = atlas.ear_patch(side)
        # The two ears' grids wind in opposite ways.
        normal = shading.normals(ear) * np.float32(1 - 2 * side)
        lit = shading.irradiance(normal, None, lights, pose, gloss, 2 / atlas.scale)
        target = light[patch_rows.start // 2 : patch_rows.stop // 2, atlas.width // 2 :]
        target[:] = cv2.resize(lit, target.shape[1::-1])
        across = np.linspace(patch_columns.start + 1, atlas.shape[1] - 2, ear.shape[1])
        down = np.linspace(patch_rows.start + 1, patch_rows.stop - 2, ear.shape[0])
        first_vertex = sum(len(part) for part in placed)
        faces = grid_triangles(ear.shape[0], ear.shape[1], first_vertex)
        placed.append(project(ear).reshape(-1, 3))
        uv.append(np.stack(np.meshgrid(across, down), -1).reshape(-1, 2))
        triangles += [faces, faces[:, ::-1]]  # ears are seen from both sides
    vertices = np.concatenate(placed)
    lookup = rasterize(
        vertices[:, :2], vertices[:, 2], np.concatenate(uv), np.concatenate(triangles),
        image.shape[0],
    )  # fmt: skip
    u, v = lookup[..., 0], lookup[..., 1]
    paint = cv2.remap(texture, u, v, cv2.INTER_LINEAR)
    lit = cv2.remap(light, (u - 0.5) / 2, (v - 0.5) / 2, cv2.INTER_LINEAR)
    cv2.copyTo(shading.lit_image(paint, lit, lights), (u >= 0).astype(np.uint8), image)


def ears_shown(face: FaceParameters) -> bool:
    """Whether the ears stick out of the hair."""
    return face.look.hair_style not in ("bob", "long", "cover")
