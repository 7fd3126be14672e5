from __future__ import annotations

import importlib

import pytest
from dextrack_deploy import graph

from dextrack.errors import InputError


def test_every_name_that_a_node_uses_is_declared_and_every_topic_is_used() -> None:
    published = [t.name for n in graph.NODES for t in graph.publications(n.name)]
    heard = [t.name for n in graph.NODES for t in graph.subscriptions(n.name)]
    names = {t.name for t in graph.TOPICS}
    assert set(published) | {graph.ENABLE, graph.ESTOP} == set(heard) == names
    assert not {graph.ENABLE, graph.ESTOP} & set(published), "the operator and the emergency stop are no nodes of ours"
    served = [s for n in graph.NODES for s in n.services]
    assert sorted(served) == sorted(s.name for s in graph.SERVICES)


def test_each_stream_has_one_source_except_the_shared_reports() -> None:
    published = [t.name for n in graph.NODES for t in graph.publications(n.name)]
    for name in set(published) - {"/diagnostics", "latency"}:
        assert published.count(name) == 1, name


def test_names_are_unique_and_relative() -> None:
    for table in (graph.TOPICS, graph.SERVICES, graph.NODES, graph.LAUNCH_ARGUMENTS):
        names = [x.name for x in table]
        assert len(set(names)) == len(names)
        assert all(not n.startswith("/") for n in names if n != "/diagnostics")
    for n in graph.NODES:
        parameters = [p.name for p in graph.parameters(n.name)]
        assert len(set(parameters)) == len(parameters)


@pytest.mark.parametrize("kind", sorted({t.type for t in graph.TOPICS} | {s.type for s in graph.SERVICES}))
def test_every_type_is_a_standard_interface(kind: str) -> None:
    package, space, name = kind.split("/")
    assert package in {"sensor_msgs", "geometry_msgs", "std_msgs", "std_srvs", "diagnostic_msgs"}
    pytest.importorskip("rclpy")
    assert hasattr(importlib.import_module(f"{package}.{space}"), name)


def test_every_kind_of_quality_of_service_is_declared_and_everyone_hears_the_supervisor() -> None:
    assert {t.qos for t in graph.TOPICS} == set(graph.QOS)
    for n in graph.NODES:
        hears = "supervisor/state" in {t.name for t in graph.subscriptions(n.name)}
        assert hears == (n.name not in ("twin", "supervisor"))
        assert "/diagnostics" in {t.name for t in graph.publications(n.name)}


def test_every_parameter_and_argument_is_described_and_its_default_is_valid() -> None:
    for n in graph.NODES:
        assert n.description
        for p in graph.parameters(n.name):
            assert p.description.endswith(".")
            p.check(p.default)
    for a in graph.LAUNCH_ARGUMENTS:
        assert a.description and (not a.choices or a.default in a.choices)
    assert [a.name for a in graph.LAUNCH_ARGUMENTS] == ["cell", "reference", "mode", "hand", "speed", "backend", "backend_address", "record", "dry_run"]


def test_parameters_out_of_range_and_of_the_wrong_type_are_refused() -> None:
    gap = {p.name: p for p in graph.parameters("velocity")}["max_gap_s"]
    gap.check(1)
    for bad in (0.0, 5.0, "0.1", True, float("nan")):
        with pytest.raises(InputError):
            gap.check(bad)
    mode = {p.name: p for p in graph.parameters("controller")}["mode"]
    with pytest.raises(InputError, match="replay"):
        mode.check("fly")
    dry = {p.name: p for p in graph.parameters("controller")}["dry_run"]
    with pytest.raises(InputError):
        dry.check(1)


def test_edges_are_between_stages_and_the_twin_runs_only_in_its_cell() -> None:
    for _, begin, end in graph.EDGES:
        assert begin in graph.STAGES + ("sample",) and end in graph.STAGES
    assert graph.node_names(True)[0] == "twin" and "twin" not in graph.node_names(False)
    assert graph.node_names(True)[-1] == "supervisor"
    with pytest.raises(KeyError):
        graph.topic("targets")
