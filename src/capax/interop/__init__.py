"""Networks to and from other programs: one file a format."""
