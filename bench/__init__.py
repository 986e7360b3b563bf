"""What the project promises of its speed and its memory, measured as ratios within one run."""
