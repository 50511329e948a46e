"""Recognizer: the domain. Types, settings, store, packages, gates, evaluation; no framework is imported here."""

__version__ = "0.1.0"
