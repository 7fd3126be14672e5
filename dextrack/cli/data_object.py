"""Make an object of a mesh file: ``dextrack data object``."""

from __future__ import annotations

import dataclasses
import time
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import tyro
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from dextrack.errors import InputError, RefusedError
from dextrack.files import digest, require_writable, usable_name
from dextrack.objects.convex_parts import PartsConfig, convex_parts
from dextrack.objects.mass_properties import mass_properties
from dextrack.objects.mesh_file import ClosedMesh, read_mesh
from dextrack.objects.remarks import remarks
from dextrack.objects.spec import DENSITY, MASS_RANGE, ObjectSpec, mass_from_density
from dextrack.objects.symmetry import Symmetry
from dextrack.objects.symmetry_detection import symmetry_of
from dextrack.references.library import objects, own_objects


@dataclasses.dataclass(frozen=True)
class MakeObject:
    """Make an object of your mesh (.obj, .stl, .ply), for recordings to name."""

    file: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="FILE")]
    """The mesh: closed, its origin the one that the recording's object positions refer to."""
    name: str | None = None
    """Name of the object; that of the file where it is left out."""
    unit: Literal["m", "cm", "mm"] = "m"
    """Unit of the file's numbers."""
    density: float | None = None
    """kg/m3 of a solid: 500 where neither it nor the mass is given. The mass that follows is kept between 0.03 and 0.4 kg."""
    mass: float | None = None
    """kg, as weighed, instead of a density."""
    friction: float = 1.0
    """Coulomb coefficient of sliding friction."""
    symmetry: str = "auto"
    """auto (found in the mesh), none, sphere, or axes with orders: z (any angle about z), z,x2 (a cylinder), z4,x4 (a cube)."""
    out: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """File to write (.npz), instead of one in your object folder. Recordings find it in `../objects` beside them."""
    parts: PartsConfig = PartsConfig()
    """The convex parts that stand for it in collisions."""


def make_object(options: MakeObject, console: Console) -> int:
    """Make the object, show it and write its file; 0.

    Raises:
        InputError: an option or the mesh is not usable; the message says why.
        RefusedError: it cannot be cut into convex parts.
    """
    name = options.name if options.name is not None else options.file.stem
    path = _path(name, options)
    _refuse_options(options)
    require_writable(path)
    began = time.monotonic()
    mesh = read_mesh(options.file, options.unit)
    for note in mesh.notes:
        console.print(f"[yellow]{options.file.name}: {note}[/yellow]", soft_wrap=True)
    with Progress(SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn(), console=console, transient=True) as bar:
        task = bar.add_task("convex parts", total=None)
        parts = convex_parts(name, mesh.vertices, mesh.faces, options.parts, lambda stage: bar.update(task, description=f"convex parts: {stage}"))
        if not parts:
            raise RefusedError(f"{options.file}: CoACD left no convex part with a volume.", remedy="raise --parts.max-parts, or thicken the mesh.")
        bar.update(task, description="symmetry")
        made = _spec(name, options, mesh, parts)
    _show(console, made, mesh, options.mass is not None)
    for remark in remarks(made):
        console.print(f"[yellow]{name}: {remark}[/yellow]", soft_wrap=True)
    kept = _is(path, made)
    if not kept:
        made.save(path)
    took = "already there, made from the same inputs" if kept else f"made in {time.monotonic() - began:.0f} s"
    console.print(f"[bold]{path}[/bold] ({took})", soft_wrap=True)
    if "_" in name and options.out is None:
        console.print(f"a recording names it in its header: its file name says only what stands before the first underscore ({name.split('_')[0]})")
    return 0


def _path(name: str, options: MakeObject) -> Path:
    """The file to write.

    Raises:
        InputError: the name cannot be used, or belongs to an object of an installed data set.
    """
    if not usable_name(name):
        raise InputError(f"object {name!r}: this name cannot be part of a file name.", remedy="give another with --name.")
    if options.out is not None:
        if options.out.suffix != ".npz" or options.out.stem != name:
            raise InputError(f"{options.out}: an object's file bears its name, {name}.npz.", remedy=f"give --out {options.out.parent / name}.npz, or --name.")
        return options.out
    path = own_objects() / f"{name}.npz"
    other = objects().get(name, path)
    if other != path:
        raise InputError(f"object {name!r}: {other} has this name.", remedy=f"give another, for example --name my{name}, or --out FILE beside your recordings.")
    return path


def _refuse_options(options: MakeObject) -> None:
    """Refuse what makes no object, before the mesh is read."""
    if options.mass is not None and options.density is not None:
        raise InputError("a mass and a density are given.", remedy="give one of them.")
    if options.density is not None and not 1.0 <= options.density <= 25000.0:
        raise InputError(f"density {options.density:g} kg/m3 is not that of a solid.", remedy="water has 1000, wood 500, steel 7800; or give --mass.")
    if options.symmetry != "auto":
        Symmetry.parse(options.symmetry)


def _spec(name: str, options: MakeObject, mesh: ClosedMesh, parts: tuple[tuple[np.ndarray, np.ndarray], ...]) -> ObjectSpec:
    """The object, with its mass and symmetry."""
    density = options.density if options.density is not None else DENSITY
    spec = ObjectSpec(
        name=name,
        vertices=mesh.vertices,
        faces=mesh.faces,
        parts=parts,
        mass=options.mass if options.mass is not None else mass_from_density(parts, density),
        friction=options.friction,
        source=f"{options.file.name}, sha256 {digest(options.file)}, in {options.unit}",
    )
    return dataclasses.replace(spec, symmetry=symmetry_of(spec) if options.symmetry == "auto" else Symmetry.parse(options.symmetry))


def _is(path: Path, made: ObjectSpec) -> bool:
    """Whether the file holds ``made``."""
    try:
        found = ObjectSpec.load(path)
    except InputError:
        return False
    return (found.name, found.digest, found.source, found.symmetry) == (made.name, made.digest, made.source, made.symmetry)


def _show(console: Console, spec: ObjectSpec, mesh: ClosedMesh, weighed: bool) -> None:
    """Print what was made; ``weighed``: its mass was given."""
    p = mass_properties(spec)
    table = Table(title=f"{spec.name}", show_header=False)
    x, y, z = 1e3 * np.ptp(spec.vertices, axis=0)
    table.add_row("extent", f"{x:.1f} x {y:.1f} x {z:.1f} mm, {len(spec.faces)} triangles")
    table.add_row("volume", f"{1e6 * mesh.volume:.1f} cm3; of the convex parts {1e6 * p.volume:.1f} cm3")
    table.add_row("convex parts", f"{len(spec.parts)}, with at most {max(len(v) for v, _ in spec.parts)} vertices")
    clipped = ", the limit of what is taken from a density; --mass says it exactly" if not weighed and spec.mass in MASS_RANGE else ""
    table.add_row("mass", f"{spec.mass:.3f} kg{clipped}")
    table.add_row("centre of mass", "({:.1f}, {:.1f}, {:.1f}) mm".format(*(1e3 * p.centre_o)))
    table.add_row("principal moments", "{:.2e}, {:.2e}, {:.2e} kg m2".format(*p.principal))
    table.add_row("friction", f"{spec.friction:g}")
    table.add_row("symmetry", str(spec.symmetry))
    console.print(table)
