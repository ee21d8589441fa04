"""The dashboard of all nodes and of all that trains on them."""

from cluster.monitoring.panels import CLUSTER, GPU, OF_ITS_RUN, Board, Panel, Variable, query, row

NODE = '{instance=~"$node"}'
RATE = "[$__rate_interval]"

GLANCE = row(
    "At a glance",
    Panel("Nodes", "Nodes whose Ray is alive.", (query("count(ray_node_cpu_count)"),), kind="stat", width=4, height=4),
    Panel("CPUs", "Of all nodes.", (query("sum(ray_node_cpu_count)"),), kind="stat", width=4, height=4),
    Panel(
        "Active runs",
        "Runs whose driver is alive.",
        (query("count(sum by (run) (rate(ray_training_heartbeat_seconds_total[1m])) > 0)"),),
        kind="stat",
        width=4,
        height=4,
    ),
    Panel(
        "Images per second",
        "Of all runs together.",
        (query(f"sum(rate(ray_training_images_total{RATE}))"),),
        kind="stat",
        width=4,
        height=4,
    ),
    Panel(
        "Silent addresses",
        "Addresses that are in Ray's list and do not answer Prometheus.",
        (query('count(up{job=~".*ray.*"} == 0) or vector(0)'),),
        kind="stat",
        width=4,
        height=4,
        thresholds=((1, "red"),),
    ),
    Panel(
        "Placement groups waiting",
        "Groups of workers for which there is no room yet.",
        (query('sum(ray_placement_groups{State=~"PENDING|RESCHEDULING"}) or vector(0)'),),
        kind="stat",
        width=4,
        height=4,
        thresholds=((1, "orange"),),
    ),
)

RUNS_ROW = row(
    "Runs",
    Panel(
        "Images per second",
        "By run.",
        (query(f"sum by (run) (rate(ray_training_images_total{RATE}))", "{{run}}"),),
        stacked=True,
    ),
    Panel(
        "Goodput of the last hour",
        "Share of each driver's time that went into iterations which counted.",
        (
            query(
                "sum by (run) (increase(ray_training_productive_seconds_total[1h])) "
                "/ sum by (run) (increase(ray_training_heartbeat_seconds_total[1h]))",
                "{{run}}",
            ),
        ),
        unit="percentunit",
        maximum=1,
    ),
    Panel(
        "Failures and restarts of the last hour",
        "By run.",
        (
            query("round(sum by (run) (increase(ray_training_failures_total[1h])))", "{{run}} failures"),
            query("round(sum by (run) (increase(ray_training_restarts_total[1h])))", "{{run}} restarts"),
        ),
    ),
)

NODES = row(
    "Nodes",
    Panel(
        "CPU utilisation",
        "By node.",
        (query(f"ray_node_cpu_utilization{NODE} / 100", "{{instance}}"),),
        unit="percentunit",
        maximum=1,
    ),
    Panel(
        "Memory used",
        "Share of a node's memory. Above 95 % Ray kills workers.",
        (query(f"ray_node_mem_used{NODE} / ray_node_mem_total{NODE}", "{{instance}}"),),
        unit="percentunit",
        thresholds=((0.9, "red"),),
        maximum=1,
    ),
    Panel(
        "Shared memory used",
        "Ray's object store and DALI's queues live there.",
        (query(f"ray_node_mem_shared_bytes{NODE}", "{{instance}}"),),
        unit="bytes",
    ),
    Panel(
        "Disk used",
        "Of the disk that holds Ray's files.",
        (query(f"ray_node_disk_utilization_percentage{NODE} / 100", "{{instance}}"),),
        unit="percentunit",
        thresholds=((0.9, "red"),),
        maximum=1,
    ),
    Panel(
        "Network",
        "Sent and received.",
        (
            query(f"ray_node_network_send_speed{NODE}", "{{instance}} sent"),
            query(f"ray_node_network_receive_speed{NODE}", "{{instance}} received"),
        ),
        unit="Bps",
    ),
    Panel(
        "Disk traffic",
        "Read and written.",
        (
            query(f"ray_node_disk_io_read_speed{NODE}", "{{instance}} read"),
            query(f"ray_node_disk_io_write_speed{NODE}", "{{instance}} written"),
        ),
        unit="Bps",
    ),
)

DEVICES = row(
    "GPUs",
    Panel(
        "GPU utilisation",
        "By node and GPU.",
        (query(f"ray_node_gpus_utilization{NODE} / 100", "{{instance}} GPU {{GpuIndex}}"),),
        unit="percentunit",
        maximum=1,
        empty=GPU,
    ),
    Panel(
        "GPU memory used",
        "By node and GPU.",
        (query(f"ray_node_gram_used{NODE} * 1048576", "{{instance}} GPU {{GpuIndex}}"),),
        unit="bytes",
        empty=GPU,
    ),
    Panel(
        "GPU power",
        "By node and GPU.",
        (query(f"ray_node_gpu_power_milliwatts{NODE} / 1000", "{{instance}} GPU {{GpuIndex}}"),),
        unit="watt",
        empty=GPU,
    ),
)

BOARD = Board(
    uid=CLUSTER,
    title="Cluster",
    description="All nodes and all runs: what is free, what is full, what is failing.",
    variables=(Variable("node", "label_values(ray_node_cpu_count, instance)", "Node", multiple=True),),
    rows=(GLANCE, RUNS_ROW, NODES, DEVICES),
    data_links={"Training": OF_ITS_RUN},
)
