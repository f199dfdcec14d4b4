"""Targets for a fuzzer: see README.md."""
