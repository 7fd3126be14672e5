"""Backend and stand-in call Isaac Gym as its published stubs say: names, arguments, fields. Needs the package isaacgym-stubs (one .pyi file)."""

from __future__ import annotations

import ast
import importlib.metadata
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
BACKEND = [ROOT / "dextrack" / "sim" / name for name in ("isaacgym_backend.py", "isaacgym_scene.py", "isaacgym_worlds.py")]
STAND_IN = ROOT / "tests" / "sim" / "isaacgym_stand_in" / "isaacgym"
TESTS = [ROOT / "tests" / "sim" / name for name in ("isaacgym_cases.py", "isaacgym_stand_in_cases.py")]
NOT_IN_STUBS = {"COUNT_FROM_WORLD": "a switch of the stand-in"}


class Stubs:
    """What the .pyi declares."""

    def __init__(self, text: str) -> None:
        # A property of the real API is called lambda, which no Python can parse.
        tree = ast.parse(text.replace("def lambda(", "def lambda_("))
        self.classes = {c.name: c for c in tree.body if isinstance(c, ast.ClassDef)}
        self.names = set(self.classes) | {n.target.id for n in tree.body if isinstance(n, ast.AnnAssign)}
        self.names |= {f.name for f in tree.body if isinstance(f, ast.FunctionDef)}
        self.calls = {f.name: parameters(f) for f in self.classes["Gym"].body if isinstance(f, ast.FunctionDef)}

    def fields(self, name: str) -> set[str]:
        return {n.target.id for n in self.classes[name].body if isinstance(n, ast.AnnAssign)}


def parameters(function: ast.FunctionDef) -> list[tuple[str, bool]]:
    """Name of each parameter but self, and whether it has a default. Where the stub has *args alone, its docstring has the signature."""
    if not function.args.vararg:
        names = [a.arg for a in function.args.args][1:]
        required = len(names) - len(function.args.defaults)
        return [(name, i >= required) for i, name in enumerate(names)]
    signature = re.search(r"\(self: Gym(.*?)\) ->", ast.get_docstring(function) or "")
    return [(name, False) for name in re.findall(r", (\w+):", signature.group(1))] if signature else []


@pytest.fixture(scope="module")
def stubs() -> Stubs:
    try:
        files = importlib.metadata.files("isaacgym-stubs") or []
    except importlib.metadata.PackageNotFoundError:
        pytest.skip("isaacgym-stubs is not installed")
    return Stubs(next(f.locate() for f in files if f.name == "gymapi.pyi").read_text(encoding="utf-8"))


def calls(path: Path) -> list[ast.Call]:
    """Calls of a method of something called gym."""
    found = [n for n in ast.walk(ast.parse(path.read_text())) if isinstance(n, ast.Call) and isinstance(n.func, ast.Attribute)]
    return [n for n in found if isinstance(n.func.value, ast.Name) and n.func.value.id == "gym" or ast.unparse(n.func.value).endswith(".gym")]


@pytest.mark.parametrize("path", BACKEND + TESTS, ids=lambda p: p.stem)
def test_calls_fit_the_stubs(stubs: Stubs, path: Path) -> None:
    wrong = []
    for call in calls(path):
        known = dict(stubs.calls.get(call.func.attr, ()))
        if call.func.attr not in stubs.calls:
            wrong.append("%s: no such call" % call.func.attr)
            continue
        given = list(known)[: len(call.args)] + [k.arg for k in call.keywords]
        missing = [name for name, has_default in known.items() if not has_default and name not in given]
        if len(call.args) > len(known) or missing or set(given) - set(known):
            wrong.append("%s: given %s of %s" % (call.func.attr, given, list(known)))
    assert not wrong


def test_the_backends_calls_are_found() -> None:
    found = {call.func.attr for path in BACKEND for call in calls(path)}
    assert {"create_sim", "load_asset", "create_actor", "prepare_sim", "simulate", "set_dof_state_tensor_indexed", "destroy_sim"} <= found


@pytest.mark.parametrize("path", BACKEND + TESTS, ids=lambda p: p.stem)
def test_names_of_gymapi_are_in_the_stubs(stubs: Stubs, path: Path) -> None:
    nodes = [n for n in ast.walk(ast.parse(path.read_text())) if isinstance(n, ast.Attribute) and ast.unparse(n.value) == "gymapi"]
    assert {n.attr for n in nodes} <= stubs.names


def test_the_stand_in_has_no_call_and_no_name_of_its_own(stubs: Stubs) -> None:
    tree = ast.parse((STAND_IN / "gymapi.py").read_text())
    gym = next(c for c in tree.body if isinstance(c, ast.ClassDef) and c.name == "Gym")
    wrong = []
    for method in gym.body:
        if not isinstance(method, ast.FunctionDef):
            continue
        mine, theirs = parameters(method), stubs.calls.get(method.name)
        if mine != theirs:
            wrong.append("%s: %s, not %s" % (method.name, mine, theirs))
    assert not wrong
    constants = {t.id for n in tree.body if isinstance(n, ast.Assign) for target in n.targets for t in ast.walk(target) if isinstance(t, ast.Name)}
    assert {name for name in constants if name.isupper()} - set(NOT_IN_STUBS) <= stubs.names


def test_fields_of_the_stand_ins_records_are_in_the_stubs(stubs: Stubs) -> None:
    # Setting any other field of the stand-in raises, so the backend sets none that the stubs lack.
    records = [c for c in ast.parse((STAND_IN / "records.py").read_text()).body if isinstance(c, ast.ClassDef) and c.name != "Record" and c.bases]
    assert len(records) >= 7
    for record in records:
        fields = next(n.value for n in record.body if isinstance(n, ast.Assign))
        assert {ast.literal_eval(key) for key in fields.keys} <= stubs.fields(record.name), record.name
