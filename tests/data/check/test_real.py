"""Known faults of real data are found."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from efld_tf.data.check import findings
from tests.data.check.checking import kinds_of, quick


def test_helen_is_clean(shared_data: Path) -> None:
    """Nothing is found but 11 near-duplicates: files of one photo, and photos of one moment."""
    helen = shared_data / "ibug/helen"
    found = quick([f"ibug:{helen}/trainset"], (f"ibug:{helen}/testset",))
    assert found.faces == 1200
    for source in (0, 1):
        assert set(kinds_of(found, source)) <= {findings.NEAR_DUPLICATE}
        assert len(kinds_of(found, source)[findings.NEAR_DUPLICATE]) < 10
    same = {"2082267415_2.jpg", "2082267415_3.jpg"}  # two files of one face
    pairs = [{f.key, f.other[1]} for f in found.findings if f.other]
    assert same in pairs


@pytest.mark.long
def test_lfpw_and_small_crops_of_aflw_are_clean(shared_data: Path) -> None:
    """Nothing is found but photos of one moment and of one person."""
    for source, most in (("ibug:{}/lfpw/trainset", 60), ("mtfl:{}/mtfl_aflw/training.txt", 40)):
        kinds = kinds_of(quick([source.format(shared_data)]))
        assert set(kinds) == {findings.NEAR_DUPLICATE}
        assert len(kinds[findings.NEAR_DUPLICATE]) < most


def test_profiles_have_no_shifted_labels(shared_data: Path, tmp_path: Path) -> None:
    """Shapes up to 90 degrees of yaw; two are unlike the others, one of them cut off at 0."""
    rows = []
    for line in (shared_data / "aflw2000_shapes/shapes.jsonl").read_text().splitlines():
        face = json.loads(line)
        if abs(face["yaw_degrees"]) <= 90:
            shape, box = np.array(face["shape68"]), np.reshape(face["rough_box_xyxy"], (2, 2))
            low, high = shape.min(axis=0), shape.max(axis=0)
            scale = np.ptp(box, axis=0).max() / (high - low).max()
            points = (shape - (low + high) / 2) * scale + box.mean(axis=0)
            rows.append(json.dumps({"image": face["image"], "points": points.tolist()}))
    path = tmp_path / "shapes.jsonl"
    path.write_text("\n".join(rows))
    found = quick([f"json:{path}?schema=ibug68&images={shared_data}/aflw2000_shapes"])
    assert found.faces > 1700
    outliers = {Path(key).name for key in kinds_of(found).pop(findings.OUTLIER)}
    assert outliers == {"image01547.jpg", "image01842.jpg"}
    assert set(kinds_of(found)) == {findings.OUTLIER, findings.NEAR_DUPLICATE}


@pytest.mark.long
def test_scut_s_truncated_file_and_scrambled_points(shared_data: Path) -> None:
    found = quick([f"scut:{shared_data}/scut_fbp5500"])
    kinds = kinds_of(found)
    assert kinds[findings.ANNOTATION] == {"facial landmark/CM152.pts"}
    # Seen by eye: all are errors of the annotation.
    assert {"Images/CF434.jpg", "Images/AF525.jpg", "Images/AM1744.jpg"} <= kinds[findings.OUTLIER]
    assert len(kinds[findings.OUTLIER]) < 25
    assert findings.SWAPPED not in kinds and findings.SHIFT not in kinds


@pytest.mark.long
def test_youtube_faces_share_people(shared_data: Path) -> None:
    folder = shared_data / "youtube_faces"
    found = quick([f"youtube_faces:{folder}/training_frames_keypoints.csv"],
                  (f"youtube_faces:{folder}/test_frames_keypoints.csv",))
    kinds = kinds_of(found)
    assert len(kinds[findings.TEST_IDENTITY]) > 3000
    assert len(kinds[findings.TEST_DUPLICATE]) == 4
    # 3 of 3462 with many profiles: points on the background.
    assert kinds[findings.OUTLIER] == {
        "training/Marieta_Chrousala_12.jpg", "training/Chris_Cirino_30.jpg",
        "training/Elton_John_10.jpg",
    }
    assert findings.SWAPPED not in kinds and findings.SHIFT not in kinds


@pytest.mark.long
def test_the_honest_split_shares_no_people(shared_data: Path) -> None:
    folder = shared_data / "youtube_faces"
    found = quick([f"youtube_faces:{folder}?identities=train"],
                  (f"youtube_faces:{folder}?identities=test",))
    assert findings.TEST_IDENTITY not in kinds_of(found)


@pytest.mark.long
def test_net_photos_with_faces_on_both_sides(shared_data: Path) -> None:
    folder = shared_data / "net7876"
    found = quick([f"mtfl:{folder}/trainImageList.txt"], (f"mtfl:{folder}/testImageList.txt",))
    shared = kinds_of(found)[findings.TEST_IDENTITY]
    photos = {r.identity for r in found.sources[0].records if r.key in shared}
    assert len(photos) == 42
    assert not {findings.OUTLIER, findings.SWAPPED, findings.SHIFT, findings.BOX} & {
        *kinds_of(found), *kinds_of(found, 1)
    }
