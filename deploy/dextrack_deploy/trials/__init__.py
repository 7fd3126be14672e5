"""Trials in a row: the paper's real-world protocol (App. B.2): several attempts per object, judged by three levels, in tables like its 2, 7 and 8."""
