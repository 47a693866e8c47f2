"""Native layouts of the matlab formats, for the fuzz tests."""

from __future__ import annotations

from tests.annotations.layouts import Layout

LAYOUTS: dict[str, Layout] = {}
