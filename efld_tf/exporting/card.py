"""The model card of an export, made of what is known at the time of the export."""

from __future__ import annotations

from typing import Any

from efld_tf import __version__, runs
from efld_tf.exporting import audit, micro, modes
from efld_tf.exporting.report import ExportReport
from efld_tf.landmarks import schemas
from efld_tf.landmarks.geometry import CropRule
from efld_tf.models.checkpoint import ModelSpec
from efld_tf.runtime import golden
from efld_tf.runtime.landmarker import MIN_CONFIDENCE


def _stated(key: str, value: Any) -> str:
    if isinstance(value, dict):
        value = ", ".join(f"{name} {number}" for name, number in value.items())
    return f"{key.replace('_', ' ')}: {value}"


def _crop(rule: CropRule) -> str:
    """What of a photo goes into the model."""
    box = "the file's own box" if rule.box == "file" else "the tight box of all points"
    scale_x, scale_y = rule.scales
    if rule.stretched:
        form = f"a rectangle of {scale_x:g} times the width and {scale_y:g} times the height of " \
            f"{box} ({rule.schema}), stretched into a square"
        units = "widths", "heights"
    else:
        form = f"a square of {scale_x:g} times the longest side of {box} ({rule.schema})"
        units = "", "longest sides"
    x, y = (f"{value + 0:g} {unit}".strip()
            for value, unit in zip((rule.offset_x, rule.offset_y), units, strict=True))
    return f"{form}, its centre moved by {x} and {y} to the right and down"


def _presence(spec: ModelSpec, head: str) -> list[str]:
    """The card's lines about the confidence and expected errors; empty for a model without."""
    if spec.presence is None:
        return []
    fitted = "; ".join(_stated(*item) for item in spec.presence.items())
    lines = ["**Second output.** `float32` `[1, 1]`: how sure it is that the crop shows a face, "
             f"0 to 1. Fitted afterwards on what the model sees: {fitted}.", ""]
    if (errors := spec.heads[head].errors) is not None:
        fitted = "; ".join(_stated(*item) for item in errors.items())
        lines[0] = lines[0].replace("`[1, 1]`", "`[1, 1 + N]`, the first number")
        lines += ["**Its other numbers**: how far off each point is expected to be, in sides of "
                  f"the crop. Fitted likewise: {fitted}.", ""]
    return lines


def _depth(spec: ModelSpec, head: str) -> list[str]:
    """The card's lines about the depths; empty for a model without them."""
    if spec.heads[head].mean_depth is None:
        return []
    return ["**Last output.** `float32` `[1, N]`: how far each point is in front of their mean, in "
            "sides of the crop. With the points they tell the head's pose.", ""]


def card(spec: ModelSpec, report: ExportReport, tolerance: float) -> str:
    """The card as Markdown.

    Args:
      spec: the trained model.
      tolerance: the tolerance of the golden output, in crop sides.
    """
    schema = schemas.get(report.head)
    rule = spec.heads[report.head].crop_rule
    size, points = spec.input_size, schema.num_points
    training = ", ".join(_stated(*item) for item in spec.training.items()) or "not recorded"
    compared = report.comparison
    lines = [
        f"# {spec.family}, {schema.title}",
        "",
        f"`{report.model}`, {report.mode}, {report.size_bytes:,} bytes, "
        f"{report.macs / 1e6:.2f} M multiply-accumulates; written by efld_tf {__version__}.",
        "",
        f"**License of the weights.** {spec.license or 'not stated'}.",
        "",
        f"**Input.** `uint8` RGB `[1, {size}, {size}, 3]`, pixels as they are: {_crop(rule)}.",
        "",
        f"**Output.** `float32` `[1, {points}, 2]`: points (x, y) in the unit square of the crop, "
        f"pixel j of W at (j + 0.5) / W, in the order of `schema.yaml`.",
        "",
        *_presence(spec, report.head),
        *_depth(spec, report.head),
        f"**Training.** {training}.",
        "",
    ]
    if report.calibration_faces:
        found = ", found there by the face detector" if report.calibration_photos else ""
        lines += [f"**Calibration.** {report.calibration_faces} faces of "
                  f"`{report.calibration_source}`{found}.", ""]
    if report.widened_for:
        lines += [f"**Widened** for {', '.join(report.widened_for)}: convolutions of few channels "
                  "are computed for several pixels at once.", ""]
    if modes.get(report.mode).fine_tuned:
        lines += ["**Fine-tuned** under simulated int8 on all faces of the training source.", ""]
    if "exported_nme_percent" in compared:
        title = "**Accuracy** on"
        if report.compared_on_calibration:
            title = "**What the export costs**, on training faces: not how accurate the model is."
        lines += [f"{title} {compared['faces']} faces of `{compared['on']}`: NME "
                  f"{compared['exported_nme_percent']:.2f}% ({compared['normaliser']}), trained "
                  f"model {compared['trained_nme_percent']:.2f}%; median difference of a point "
                  f"{compared['point_difference_px_median']:.3f} px.", ""]
    elif compared:
        lines += [f"**What the export costs** on faces of `{compared['on']}`, which have no points "
                  "to measure an accuracy by: the median difference of a point from the trained "
                  f"model's is {compared['point_difference_px_median']:.3f} px.", ""]
    if "confidence_difference_p99" in compared:
        lines += ["**Confidence** there, and on the same crops cut into shuffled tiles: it differs "
                  f"from the trained model's by {compared['confidence_difference_median']:.3f} in "
                  f"the median, {compared['confidence_difference_p99']:.3f} at p99; "
                  f"{compared['confident_percent']:.1f}% of the faces reach "
                  f"{MIN_CONFIDENCE:g}.", ""]
    if "depth_difference_px_p99" in compared:
        lines += ["**Depths** there: a point's differs from the trained model's by "
                  f"{compared['depth_difference_px_median']:.3f} px in the median, "
                  f"{compared['depth_difference_px_p99']:.3f} px at p99.", ""]
    if "errors_difference_px_p99" in compared:
        lines += ["**Expected errors** there: a point's differs from the trained model's by "
                  f"{compared['errors_difference_px_median']:.3f} px in the median, "
                  f"{compared['errors_difference_px_p99']:.3f} px at p99.", ""]
    if run := report.micro:
        lines += [f"**Microcontrollers.** {run['runtime']} runs it in {run['arena_bytes']:,} bytes "
                  "of memory beside the file's own (plain kernels, 64 bits); its points differ "
                  f"from LiteRT's by {run['point_difference_px_median']:.3f} px in the median and "
                  f"by {run['point_difference_px_max']:.2f} px at most on {run['faces']} faces. "
                  f"`{micro.HEADER}` and `{micro.SOURCE}` are the file as C "
                  "source.", ""]
    able = audit.runtimes(report.minimum_runtime, modes.get(report.mode).suffix)
    lines += [f"**Runtimes.** {able}. By the versions of its operators, one that lacks them "
              "refuses it.", ""]
    check = f"eed `{golden.INPUT_FILE}` and compare with `{golden.OUTPUT_FILE}` within " \
        f"{tolerance:g} (`{golden.FILE}`)."
    if modes.get(report.mode).suffix in runs.EXPORTED:
        lines += [f"**Check.** `efld-verify` here; elsewhere f{check}", ""]
    else:
        lines += [f"**Check.** F{check} The output is that of the trained model in float: nothing "
                  "here runs this format.", ""]
    return "\n".join(lines)
