"""The viewer: a recording, a reference or a demonstration in the browser, in 3D, over time.

``show`` says what there is to see and computes all of it once; ``scene`` and ``panel`` put it into a page of viser; ``player`` is the clock;
``server`` opens the port and moves everything. Only ``scene``, ``panel`` and ``server`` know viser.
"""
