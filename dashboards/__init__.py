"""Out: the dashboards that Grafana shows, made by `python -m dashboards` into the JSON beside this."""
