"""A bus peer: sixteen Dynamixel motors of a LEAP hand behind a pseudo terminal, to which a driver talks as to /dev/ttyUSB0.

``packet`` frames Protocol 2.0, ``table`` names the registers of an XC330-M288-T, ``motor`` is one of them and ``responder`` all of them;
``line`` models the time that half-duplex wire and USB adapter take, ``faults`` what goes wrong on demand, and ``plant`` what the motors move:
the fingers of the twin, or sixteen first-order lags; ``modelled`` is a hand on a bench, whose motors a file describes. ``peer`` runs it all behind
a pseudo terminal, ``process`` starts it and talks to it.

Source of every figure: the ROBOTIS e-manual, pages "DYNAMIXEL Protocol 2.0" and "XC330-M288-T", unless a docstring says otherwise.
"""
