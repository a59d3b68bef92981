"""Sinks: other programs that are told of a run's trials, off by default; one file a sink, the
contract in sink.py."""
