"""Writes annotated faces for other programs: the other half of the readers."""
