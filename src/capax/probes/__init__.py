"""Measurements on a network, random or trained: one file a probe, each a function `measure(subject, ...) -> Measurement`."""

from capax.probes.measurement import Measurement as Measurement
from capax.probes.registry import PROBES as PROBES
from capax.probes.registry import probe as probe
from capax.probes.subject import Subject as Subject
