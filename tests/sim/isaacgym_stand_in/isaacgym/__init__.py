"""A stand-in for NVIDIA's Isaac Gym, for tests only. It is not Isaac Gym, has none of its code, and says nothing about PhysX.

It moves worlds by MuJoCo and imitates how the tensor API of Isaac Gym Preview 4 is used, strictly: what fails there, or silently goes wrong, fails here.

- torch must not be imported before it.
- Quaternions are xyzw; degrees of freedom come depth first, siblings by name.
- Tensors exist after ``prepare_sim``. They are renewed by the matching refresh alone, and on the CPU after ``fetch_results``.
- Sets are read at ``simulate``, from memory that must still be there; of two of one kind the last counts; indices are int32, tensors float32 and full.
- A body's velocity is that of its centre of mass.
"""

from __future__ import annotations

import sys

if "torch" in sys.modules:
    raise ImportError("PyTorch was imported before isaacgym modules.  Please import torch after isaacgym modules.")
