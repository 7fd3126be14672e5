"""What the ROS package uses of ROS 2, read from its source; and whether the ROS 2 that is installed has it.

A use is a dotted name (``rclpy.node.Node.create_timer``), or one with a keyword (``rclpy.init(args)``). What is reached through a variable is told by
the variable's name: ``RECEIVERS``.
"""

from __future__ import annotations

import ast
import importlib
import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import Any

MESSAGES = ("builtin_interfaces", "diagnostic_msgs", "geometry_msgs", "lifecycle_msgs", "rcl_interfaces", "sensor_msgs", "std_msgs", "std_srvs")
PACKAGES = ("rclpy", "launch", "launch_ros", *MESSAGES)
C = "rclpy._rclpy_pybind11"
"""The half of rclpy that is compiled."""
RECEIVERS = {
    "node": "rclpy.lifecycle.LifecycleNode",
    "_node": "rclpy.node.Node",
    "subscription": "rclpy.subscription.Subscription",
    "timer": "rclpy.timer.Timer",
    "service": "rclpy.service.Service",
    "client": "rclpy.client.Client",
    "future": "rclpy.task.Future",
    "guard": "rclpy.guard_condition.GuardCondition",
    "qos_profile": "rclpy.qos.QoSProfile",
    "_context": "rclpy.context.Context",
    "waitable": "rclpy.waitable.Waitable",
    "_executor": "rclpy.executors.SingleThreadedExecutor",
    "_state_machine": C + ".LifecycleStateMachine",
    "_set": C + ".WaitSet",
}
"""What a variable or attribute of this name holds, in the files that import rclpy."""
HANDLES = {"Subscription": "Subscription", "Timer": "Timer", "Service": "Service", "Client": "Client", "GuardCondition": "GuardCondition"}


def uses(package: Path) -> dict[str, set[str]]:
    """Every use of ROS 2 in the files of ``package``: use -> names of the files."""
    trees = {path.name: ast.parse(path.read_text(encoding="utf-8")) for folder in ("dextrack_ros", "launch") for path in (package / folder).glob("*.py")}
    classes = {c.name: c for tree in trees.values() for c in ast.walk(tree) if isinstance(c, ast.ClassDef)}
    found: dict[str, set[str]] = {}
    for file, tree in trees.items():
        for use in _File(tree, classes).uses():
            found.setdefault(use, set()).add(file)
    return found


class _File:
    def __init__(self, tree: ast.Module, classes: dict[str, ast.ClassDef]) -> None:
        self._tree, self._classes = tree, classes
        self._imported: dict[str, str] = {}
        self._names: list[str] = []
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] in PACKAGES:
                self._imported |= {a.asname or a.name: f"{node.module}.{a.name}" for a in node.names}
                # A name that is imported in two ways is two uses.
                self._names += [f"{node.module}.{a.name}" for a in node.names]
            elif isinstance(node, ast.Import):
                self._imported |= {a.name: a.name for a in node.names if a.name in PACKAGES}
        self._receivers = RECEIVERS if any(name.startswith("rclpy") for name in self._imported.values()) else {}
        # Another name of the compiled half.
        self._imported = {k: C if v.endswith(".rclpy_implementation") else v for k, v in self._imported.items()}

    def uses(self) -> Iterator[str]:
        yield from self._names
        ours = {f"rclpy.lifecycle.LifecycleNode.{name}" for name in _defined(self._classes["CellNode"], self._classes)}
        yield from (use for use in self._below(self._tree, None) if use not in ours)

    def _below(self, node: ast.AST, owner: str | None) -> Iterator[str]:
        """Uses in ``node``; ``owner`` is the ROS class from which the class around it derives."""
        if isinstance(node, ast.ClassDef):
            owner = self._ros_base(node)
            ours = _defined(node, self._classes)
            own = {f"{owner}.{n}" for n in ours}
            yield from (
                u for child in node.body for u in self._below(child, owner) if u.split("(")[0] not in own and not u.startswith(tuple(o + "." for o in own))
            )
            return
        if isinstance(node, ast.Call) and (name := self._dotted(node.func, owner)):
            yield from (f"{name}({k.arg})" for k in node.keywords if k.arg)
        if isinstance(node, ast.Attribute) and (name := self._dotted(node, owner)):
            yield name
        for child in ast.iter_child_nodes(node):
            yield from self._below(child, owner)

    def _ros_base(self, node: ast.ClassDef) -> str | None:
        for base in node.bases:
            name = getattr(base, "id", "")
            known = {"LifecycleNode": "rclpy.lifecycle.LifecycleNode", "SingleThreadedExecutor": "rclpy.executors.SingleThreadedExecutor"}.get(name)
            found = known or (self._ros_base(self._classes[name]) if name in self._classes else None)
            if found:
                return found
        return None

    def _dotted(self, node: ast.AST, owner: str | None) -> str | None:
        """The full name of an expression that begins in an imported name, in ``self`` or ``super()`` of a ROS class, or in a known variable."""
        if isinstance(node, ast.Name):
            return self._imported.get(node.id) or (owner if node.id == "self" else self._receivers.get(node.id))
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "super":
            return owner
        if not isinstance(node, ast.Attribute):
            return None
        value = self._dotted(node.value, owner)
        if node.attr in self._receivers:
            return self._receivers[node.attr]
        if value is None:
            return None
        last = value.split(".")[-1]
        # Some of rclpy's attributes have a type of their own.
        return f"{C}.{HANDLES[last]}" if node.attr == "handle" and last in HANDLES else f"{value}.{node.attr}"


def _defined(node: ast.ClassDef, classes: dict[str, ast.ClassDef]) -> set[str]:
    """Names that our class ``node`` and our classes below it define on their instances."""
    names = {f.name for f in node.body if isinstance(f, ast.FunctionDef)}
    for child in ast.walk(node):
        targets = child.targets if isinstance(child, ast.Assign) else [child.target] if isinstance(child, ast.AnnAssign) else []
        for target in (t for outer in targets for t in (outer.elts if isinstance(outer, ast.Tuple) else [outer])):
            if isinstance(target, ast.Attribute) and getattr(target.value, "id", "") == "self":
                names.add(target.attr)
            elif isinstance(target, ast.Name) and child in node.body:
                names.add(target.id)
    for base in node.bases:
        if getattr(base, "id", "") in classes:
            names |= _defined(classes[base.id], classes)
    return names


def installed_has(use: str) -> bool:
    """Whether the ROS 2 that Python imports has ``use``."""
    name, _, keyword = use.rstrip(")").partition("(")
    parts = name.split(".")
    for n in range(len(parts), 0, -1):
        try:
            thing: Any = importlib.import_module(".".join(parts[:n]))
        except ModuleNotFoundError:
            continue
        break
    else:
        return False
    for part in parts[n:]:
        if not hasattr(thing, part):
            # What __init__ gives each instance is nowhere but in the source.
            return not keyword and part == parts[-1] and inspect.isclass(thing) and _assigned(thing, part)
        thing = getattr(thing, part)
    return not keyword or _takes(thing, keyword)


def _assigned(kind: type, name: str) -> bool:
    return any(f"self.{name} " in inspect.getsource(c) or f"self.{name}:" in inspect.getsource(c) for c in kind.__mro__ if c.__module__.startswith("rclpy."))


def _takes(thing: Any, keyword: str) -> bool:
    """Whether a call of ``thing`` takes ``keyword``. A ``**kwargs`` that only hands on is looked at where it ends."""
    if hasattr(thing, "get_fields_and_field_types"):
        return keyword in thing.get_fields_and_field_types()
    if thing.__doc__ and not hasattr(thing, "__code__") and not inspect.isclass(thing):
        return keyword in thing.__doc__
    functions = [c.__init__ for c in thing.__mro__ if "__init__" in vars(c)] if inspect.isclass(thing) else [thing]
    for function in functions:
        try:
            taken = inspect.signature(function).parameters
        except ValueError:
            continue
        if keyword in taken:
            return True
        if not any(p.kind is p.VAR_KEYWORD for p in taken.values()):
            return False
    # QoSProfile names what it takes in its slots only.
    return any(f"_{keyword}" in getattr(c, "__slots__", ()) for c in getattr(thing, "__mro__", ()))
