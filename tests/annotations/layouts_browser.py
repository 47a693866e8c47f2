"""Native layouts of annotation tools that run in a browser, for the fuzz tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from efld_tf.annotations import cvat
from efld_tf.annotations.format import Note
from efld_tf.annotations.record import FaceRecord
from efld_tf.errors import DataError
from efld_tf.landmarks import schemas
from tests.annotations.layouts import Layout
from tests.annotations.writers import some_points

FIVE = schemas.get("mtfl5").names


def _cvat_bytes(data: Path) -> bytes:
    points = some_points(5)
    skeleton = "".join(
        f'<points label="{name}" outside="0" occluded="0" points="{x:.2f},{y:.2f}"></points>\n'
        for name, (x, y) in zip(FIVE, points, strict=True))
    together = ";".join(f"{x:.2f},{y:.2f}" for x, y in points)
    box = 'outside="0" occluded="0" xtl="1.00" ytl="2.00" xbr="30.00" ybr="40.00"'
    return f"""<?xml version="1.0" encoding="utf-8"?>
<annotations><version>1.1</version>
<meta><task><id>4</id><size>9</size><mode>interpolation</mode><start_frame>0</start_frame>
<frame_filter>step=2</frame_filter><original_size><width>408</width><height>408</height>
</original_size><source>clip.avi</source></task></meta>
<image id="0" name="a.jpg" width="408" height="408">
<skeleton label="face" z_order="0">
{skeleton}<attribute name="age">7</attribute></skeleton>
<points label="face" occluded="1" points="{together}" group_id="3"></points>
<box label="face" {box} rotation="10.00"></box>
</image>
<track id="0" label="face" group_id="1">
<points frame="0" keyframe="1" outside="0" occluded="0" points="{together}"></points>
<points frame="2" keyframe="0" outside="0" occluded="0" points="{together}"></points>
<points frame="4" keyframe="1" outside="1" occluded="0" points="{together}"></points>
<box frame="0" keyframe="1" {box}></box>
</track></annotations>
""".encode()


def _read_cvat(path: Path) -> Iterator[FaceRecord | DataError | Note]:
    return cvat.read(path, schema="mtfl5")


LAYOUTS: dict[str, Layout] = {
    "cvat": Layout(_read_cvat, "a.xml", "a.xml", ("a.jpg", "clip.avi"), _cvat_bytes),
}
