"""The twin: a simulated cell (arm, hand, object, table) with physics that mining never used, in real time and in a process of its own.

``scene`` builds the model, ``simulation.Twin`` steps it, ``server`` runs it in real time behind the small request/reply link of ``link``.
"""
