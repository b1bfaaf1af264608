"""What a whole experiment would take: jobs, GPU-hours, wall time and disk, before anything runs."""
