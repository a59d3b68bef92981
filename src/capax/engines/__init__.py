"""Engines: where populations run."""
