"""How many trials run at once, by arithmetic."""

import pytest

from cluster.connection import Placement
from cluster.errors import NotEnoughResources
from tune.capacity import DRIVER, HEAD, HEAD_SHARE, divided

CPU = Placement(cpus=1, gpus=0, backend="gloo")
GPU = Placement(cpus=8, gpus=1, backend="nccl")


def test_drivers_take_no_cpu_so_that_workers_find_all_of_them() -> None:
    found = divided([{"CPU": 2, HEAD: 1}], CPU, workers=2, concurrent=None)
    assert (found.at_once, found.driver) == (1, {HEAD: HEAD_SHARE})


def test_trials_queue_for_whole_groups_of_workers_across_nodes() -> None:
    nodes = [{"CPU": 3, HEAD: 1}, {"CPU": 3}, {"CPU": 1}]
    assert divided(nodes, CPU, workers=2, concurrent=None).at_once == 3
    assert divided(nodes, CPU, workers=4, concurrent=None).at_once == 1


def test_the_resource_that_a_cluster_offers_for_drivers_is_used_and_limits_them() -> None:
    nodes = [{"CPU": 0, HEAD: 1, DRIVER: 2}, {"CPU": 64, "GPU": 8}]
    found = divided(nodes, GPU, workers=2, concurrent=None)
    assert (found.at_once, found.driver) == (2, {DRIVER: 1.0})
    assert "room for 8 workers and 2 drivers" in found.words


def test_a_worker_needs_its_cpus_and_its_gpu_on_one_node() -> None:
    nodes = [{"CPU": 4, "GPU": 8, HEAD: 1}, {"CPU": 64, "GPU": 1}]
    assert divided(nodes, GPU, workers=1, concurrent=None).at_once == 1


def test_fewer_at_once_can_be_asked_for_but_not_more_than_fit() -> None:
    nodes = [{"CPU": 8, HEAD: 1}]
    assert divided(nodes, CPU, workers=2, concurrent=3).at_once == 3
    with pytest.raises(NotEnoughResources, match=r"5 trials at once do not fit: .* so 4 at once"):
        divided(nodes, CPU, workers=2, concurrent=5)


def test_where_nodes_are_added_as_many_trials_run_as_are_asked_for() -> None:
    nodes = [{"CPU": 2, HEAD: 1}]
    assert divided(nodes, CPU, workers=2, concurrent=5, grows=True).at_once == 5
    assert divided(nodes, CPU, workers=4, concurrent=5, grows=True).at_once == 5
    assert divided(nodes, CPU, workers=2, concurrent=None, grows=True).at_once == 1
    with pytest.raises(NotEnoughResources, match=r"and 2 drivers, .* so 2 at once"):
        divided([{"CPU": 2, HEAD: 1, DRIVER: 2}], CPU, workers=2, concurrent=5, grows=True)


def test_a_cluster_without_a_place_for_drivers_is_refused() -> None:
    with pytest.raises(NotEnoughResources, match="--resources="):
        divided([{"CPU": 8}], CPU, workers=2, concurrent=None)
