"""Holds and erasure: what is done to an archive on purpose, by a person who gives a reason."""
