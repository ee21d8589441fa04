"""The lower half of the dashboard of one run: loading, safety, devices."""

from cluster.monitoring.panels import GPU, Panel, query, row

RUN = '{run="$run"}'
RATE = "[$__rate_interval]"

LOADING = row(
    "Loading",
    Panel(
        "Pictures decoded per second",
        "For iterations, 0 where a cache keeps them decoded; and for evaluations.",
        (
            query(f"sum by (rank) (rate(ray_training_decoded_images_total{RUN}{RATE}))", "worker {{rank}}"),
            query(
                f"sum by (rank) (rate(ray_training_evaluated_images_total{RUN}{RATE}))", "worker {{rank}}, evaluation"
            ),
        ),
        width=12,
    ),
    Panel(
        "Skipped pictures",
        "Broken ones in the last ten minutes; with data.on_error=skip another picture of the person takes their place.",
        (query(f"sum by (rank) (increase(ray_training_skipped_images_total{RUN}[10m]))", "worker {{rank}}"),),
        width=12,
    ),
)

SAFETY = row(
    "Checkpoints and failures",
    Panel(
        "Checkpoint size",
        "Of the newest one.",
        (query(f"max(ray_training_checkpoint_size_bytes{RUN})", "size"),),
        unit="bytes",
        width=6,
    ),
    Panel(
        "Checkpoint duration",
        "Mean of the background writing; training goes on meanwhile.",
        (
            query(
                f"sum(increase(ray_training_checkpoint_write_seconds_total{RUN}[30m])) "
                f"/ sum(increase(ray_training_checkpoints_total{RUN}[30m]))",
                "writing",
            ),
        ),
        unit="s",
        width=6,
    ),
    Panel(
        "Failures",
        "By reason, since Ray was started where the run's driver is.",
        (query(f"sum by (reason) (ray_training_failures_total{RUN})", "{{reason}}"),),
        width=6,
    ),
    Panel(
        "Restarts and what they cost",
        "Since Ray was started where the run's driver is.",
        (
            query(f"sum(ray_training_restarts_total{RUN})", "restarts"),
            query(f"sum(ray_training_lost_iterations_total{RUN})", "iterations done again"),
            query(f"sum(ray_training_recovery_seconds_total{RUN})", "seconds of recovery"),
        ),
        width=6,
    ),
)

DEVICES = row(
    "GPUs",
    Panel(
        "GPU memory held by torch",
        "By worker; dashed the most that tensors needed.",
        (
            query(f"max by (rank) (ray_training_gpu_memory_bytes{RUN})", "worker {{rank}}"),
            query(f"max by (rank) (ray_training_gpu_memory_peak_bytes{RUN})", "worker {{rank}}, peak of tensors"),
        ),
        unit="bytes",
        empty=GPU,
    ),
    Panel(
        "GPU utilisation",
        "Of all GPUs of all nodes.",
        (query("ray_node_gpus_utilization / 100", "{{instance}} GPU {{GpuIndex}}"),),
        unit="percentunit",
        maximum=1,
        empty=GPU,
    ),
    Panel(
        "GPU power",
        "Of all GPUs of all nodes.",
        (query("ray_node_gpu_power_milliwatts / 1000", "{{instance}} GPU {{GpuIndex}}"),),
        unit="watt",
        empty=GPU,
    ),
)
