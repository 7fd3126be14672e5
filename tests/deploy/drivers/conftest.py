from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import trimesh
from dextrack_deploy.twin.process import TwinProcess

from dextrack.objects.spec import ObjectSpec


@pytest.fixture
def twin(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TwinProcess]:
    """A running twin with a box of 5 cm on its table."""
    mesh = trimesh.creation.box((0.05, 0.05, 0.05))
    vertices, faces = np.array(mesh.vertices), np.array(mesh.faces, dtype=np.int32)
    path = tmp_path_factory.mktemp("objects") / "box.npz"
    ObjectSpec("box", vertices, faces, ((vertices, faces),), mass=0.1).save(path)
    with TwinProcess(path) as running:
        yield running
