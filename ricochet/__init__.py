"""The command: settings, the main jobs, the demo, metrics and the web."""
