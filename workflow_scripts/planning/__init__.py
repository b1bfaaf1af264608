"""What a whole experiment would take, before anything runs: jobs, hours, wall time, disk and GPU memory."""
