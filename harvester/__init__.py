"""Archive every call of a voice-AI account, and prove that none is missing."""

__version__ = "0.1.0"
