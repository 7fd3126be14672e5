"""Finding demonstrations: trackers that solve one task each."""
