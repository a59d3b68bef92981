"""What scripts and the command line call: from an experiment, a probe, or a cell to its report. A
module each, since a run is to begin at once, whatever a report or a fit needs.
"""
