"""Procedurally rendered faces whose landmarks are known exactly, in three formats at once."""
