"""What can be seen of a training: Prometheus and Grafana, their configuration, dashboards and alert rules."""
