"""Readers of what annotation tools write; `drawn.py` is the mechanism that most of them share."""
