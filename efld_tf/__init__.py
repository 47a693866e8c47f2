"""Efficient facial landmark detection: from annotated faces to a tiny int8 model on a phone."""

__version__ = "0.1.0"
