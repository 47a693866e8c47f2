"""Reads and writes `results.json` and computes the PAIR score.

This room uses only the standard library.
"""
