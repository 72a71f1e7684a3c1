"""What Prometheus is told: counts of this process, and figures that the database holds."""
