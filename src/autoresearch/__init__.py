"""Automated research in a git repository, with human checkpoints that gate."""

__version__ = "0.1.0"
