"""The Ray executor: a small cluster on this machine, killed workers, a removed node, errors."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from pipeline.commands.build import make_plan
from pipeline.engine import journal
from pipeline.engine import run as engine
from pipeline.engine.executors import choose as executors
from pipeline.engine.executors import ray as executor_ray
from pipeline.engine.executors.ray import Node, Shape, shape_of
from pipeline.engine.executors.work import Work
from pipeline.stages import ingest
from reid.project.errors import ReidError
from reid.project.layout import Project
from tests.conftest import contents, make_project

ROOT = Path(__file__).parents[4]
FOUR = Node(4, 0)
GPUS = Node(8, 2)


@pytest.mark.parametrize(
    ("nodes", "workers", "gpus", "expected"),
    [
        pytest.param([FOUR, FOUR], 0, 0, Shape(8, 1, 0), id="an actor a core"),
        pytest.param([FOUR, FOUR], 2, 0, Shape(2, 4, 0), id="few actors share the cores"),
        pytest.param([Node(3, 0)] * 3, 4, 0, Shape(4, 1, 0), id="two cores each would fit three"),
        pytest.param([FOUR, GPUS], 0, 1, Shape(2, 4, 1), id="an actor a GPU, on its node's cores"),
        pytest.param([FOUR, GPUS], 0, 0.5, Shape(4, 2, 0.5), id="two actors a GPU"),
        pytest.param([FOUR, FOUR], 0, 1, Shape(8, 1, 0), id="no GPU is asked for where none is"),
        pytest.param([FOUR], 9, 0, Shape(9, 1, 0), id="more than fit wait for nodes to come"),
        pytest.param([], 0, 0, Shape(1, 1, 0), id="a cluster whose nodes are still to come"),
    ],
)
def test_actors_share_cores_and_gpus(nodes, workers, gpus, expected):
    assert shape_of(nodes, workers, 100, gpus) == expected


def test_there_are_no_more_actors_than_payloads():
    assert shape_of([FOUR, FOUR], 0, 2, 0) == Shape(2, 4, 0)


def test_without_ray_one_line_says_what_to_install(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ReidError, match=r'pip install "\.\[scale\]"'):
        list(executors.EXECUTORS["ray"](Squares(), [1], 1))


def test_nothing_to_do_starts_no_ray(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    assert list(executors.EXECUTORS["ray"](Squares(), [], 1)) == []


def test_a_marker_ends_with_its_run_and_those_of_killed_runs_go(tmp_path: Path):
    with executor_ray.marker(tmp_path) as first, executor_ray.marker(tmp_path) as second:
        assert first.exists()
        assert second.exists(), "runs of other stages have their own"
        host = journal.this_process().rpartition("-")[0]
        killed = second.with_name(f".seen.1.{host}-{2**22 + 1}.tmp")  # beyond any process's number
        killed.touch()
        with executor_ray.marker(tmp_path):
            assert not killed.exists()
    assert list((tmp_path / ".work").iterdir()) == []


# -- a cluster: a head and two nodes, one core each ------------------------------------------


@dataclass(frozen=True)
class Squares(Work):
    """Squares, with the process and the node that made each, once all of `nodes` are at work."""

    folder: Path = Path()
    nodes: int = 0

    def start(self) -> Callable[[int], tuple[int, int, str]]:
        import ray

        node = ray.get_runtime_context().get_node_id()

        def function(x: int) -> tuple[int, int, str]:
            if self.nodes:
                (self.folder / f"{node}.here").touch()
            while len(list(self.folder.glob("*.here"))) < self.nodes:
                time.sleep(0.02)
            return x * x, os.getpid(), node

        return function


@dataclass(frozen=True)
class Refuses(Work):
    def start(self) -> Callable[[int], int]:
        def function(x: int) -> int:
            raise ReidError(f"row {x} is no good")

        return function


@dataclass(frozen=True)
class DiesInTheMiddle(Work):
    """The work of a stage; one worker kills itself when half a shard is written."""

    work: Any
    mark: Path

    def start(self) -> Callable[[Any], Any]:
        real = journal.write_shard

        def half(path: Path, *others: Any) -> str:
            digest = real(path, *others)
            if not self.mark.exists():
                self.mark.write_text(str(path))
                os.kill(os.getpid(), signal.SIGKILL)
            return digest

        journal.write_shard = half
        return self.work.start()


@dataclass(frozen=True)
class DiesAlways(Work):
    work: Any

    def start(self) -> Callable[[Any], Any]:
        return lambda _: os.kill(os.getpid(), signal.SIGKILL)


@dataclass(frozen=True)
class Waits(Work):
    """The work of a stage; workers say that they are at it, and those of one node never end."""

    work: Any
    folder: Path

    def start(self) -> Callable[[Any], Any]:
        import ray

        node, function = ray.get_runtime_context().get_node_id(), self.work.start()

        def step(payload: Any) -> Any:
            (self.folder / node).touch()
            while not self.goes_on(node):
                time.sleep(0.05)
            return function(payload)

        return step

    def goes_on(self, node: str) -> bool:
        """Whether the node to be removed is chosen, and is another one."""
        chosen = self.folder / "chosen"
        return chosen.exists() and chosen.read_text() not in ("", node)


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    pytest.importorskip("ray")
    executor_ray.imported()
    from ray.cluster_utils import Cluster

    small = {"num_cpus": 1, "object_store_memory": executor_ray.OBJECT_STORE}
    with pytest.MonkeyPatch.context() as changed:
        changed.setenv("PYTHONPATH", str(ROOT))  # workers find the classes of this file
        made = Cluster(True, head_node_args={**small, "include_dashboard": False})
        for _ in range(2):
            made.add_node(**small)
        yield made
        made.shutdown()


@pytest.fixture
def on_ray(cluster: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> executors.Executor:
    monkeypatch.chdir(tmp_path)
    return executors.chosen("ray", address=cluster.address)


def shards_of(project: Project) -> engine.Plan:
    """Ingest of the toy data set in eight shards."""
    params = ingest.Params.model_validate({"reader": "market1501", "shard_rows": 10})
    return ingest.plan("toy", params, project)


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """What one process publishes."""
    project = make_project(tmp_path_factory.mktemp("ray") / "one")
    engine.run(shards_of(project), project, executor="local")
    return contents(project.shards("toy"))


def temporary(project: Project) -> list[Path]:
    return [path for path in project.root.rglob("*.tmp") if path.is_file()]


ray_warnings = pytest.mark.filterwarnings(
    "ignore:.*:DeprecationWarning:ray", "ignore:unclosed:ResourceWarning"
)


@pytest.mark.slow
@ray_warnings
class TestCluster:
    def test_every_payload_has_its_outcome_and_all_nodes_work(self, on_ray: Any, tmp_path: Path):
        result = dict(on_ray(Squares(tmp_path, nodes=3), list(range(20)), 3))
        assert {i: square for i, (square, _, _) in result.items()} == {i: i * i for i in range(20)}
        assert len({node for _, _, node in result.values()}) == 3
        assert os.getpid() not in {process for _, process, _ in result.values()}

    def test_stages_publish_the_bytes_of_one_process(
        self, on_ray: Any, tmp_path: Path, monkeypatch
    ):
        result = []
        for executor in ("local", on_ray):
            project = make_project(tmp_path / str(len(result)))
            monkeypatch.chdir(project.root)  # as the command does: paths are relative
            here = Project(Path())
            engine.run(shards_of(here), here, executor=executor, workers=2)
            engine.run(make_plan("joints", "toy", here), here, executor="local")
            parts = make_plan("parts", "toy", here)
            done = engine.run(parts, here, executor=executor, workers=2)
            assert done.computed == len(parts.tasks) == 8
            result.append(contents(project.root / "data"))
            assert temporary(project) == []
        assert result[0] == result[1]

    def test_an_error_in_a_worker_arrives_as_it_is(self, on_ray: Any):
        with pytest.raises(ReidError, match=r"^row \d is no good$"):
            list(on_ray(Refuses(), [1, 2], 2))

    def test_a_killed_worker_loses_nothing(self, on_ray: Any, expected, tmp_path: Path):
        project = make_project(tmp_path / "project")
        plan, mark = shards_of(project), tmp_path / "died"
        plan = replace(plan, work=DiesInTheMiddle(plan.work, mark))
        done = engine.run(plan, project, executor=on_ray, workers=2)
        assert done.computed == 8
        assert mark.read_text().endswith(".tmp"), "it died with a temporary file behind it"
        assert temporary(project) == []
        assert contents(project.shards("toy")) == expected

    def test_a_shard_that_kills_every_worker_is_named(self, on_ray: Any, tmp_path: Path):
        project = make_project(tmp_path / "project")
        plan = shards_of(project)
        plan = replace(plan, work=DiesAlways(plan.work), tasks=plan.tasks[:1])
        with pytest.raises(ReidError, match=rf"shard {plan.tasks[0].name}: 3 workers died at it"):
            engine.run(plan, project, executor=on_ray, workers=1)

    def test_a_node_that_does_not_see_the_project_is_named(
        self, on_ray: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ):
        monkeypatch.setattr(executor_ray, "SEEN_S", 0.0)
        real = executor_ray.marker

        @contextlib.contextmanager
        def unseen(folder: Path) -> Iterator[Path]:
            with real(folder) as seen:
                yield seen.with_name("of another machine")

        monkeypatch.setattr(executor_ray, "marker", unseen)
        with pytest.raises(ReidError, match=rf"node .* does not see {tmp_path}"):
            list(on_ray(Squares(), [1], 1))

    def test_no_cluster_at_an_address_is_one_line(self, cluster: Any):
        with socket.socket() as taken:  # by somebody who does not listen
            taken.bind(("127.0.0.1", 0))
            address = f"127.0.0.1:{taken.getsockname()[1]}"
            with pytest.raises(ReidError, match=rf"ray: no cluster at {address} \("):
                list(executors.chosen("ray", address=address)(Squares(), [1], 1))

    def test_a_removed_node_loses_nothing(
        self, cluster: Any, on_ray: Any, expected, tmp_path: Path
    ):
        project = make_project(tmp_path / "project")
        others = {node.node_id: node for node in cluster.worker_nodes}
        plan = shards_of(project)
        plan = replace(plan, work=Waits(plan.work, tmp_path))

        def remove() -> None:
            while not (waiting := [n for n in others if (tmp_path / n).exists()]):
                time.sleep(0.05)
            (tmp_path / "chosen").write_text(waiting[0])
            cluster.remove_node(others[waiting[0]], allow_graceful=False)

        remover = threading.Thread(target=remove, daemon=True)
        remover.start()
        done = engine.run(plan, project, executor=on_ray, workers=3)
        remover.join()
        assert done.computed == 8
        assert temporary(project) == []
        assert contents(project.shards("toy")) == expected


@pytest.mark.slow
@ray_warnings
def test_without_an_address_a_ray_of_its_own_begins_and_ends(
    toy: Project, monkeypatch: pytest.MonkeyPatch
):
    ray = pytest.importorskip("ray")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    first = next(run := executors.chosen("ray")(Squares(), [3, 4], 1))
    assert ray.is_initialized()
    assert first[1][0] in (9, 16)
    run.close()
    assert not ray.is_initialized()
    assert temporary(toy) == []
