"""The linear protocol of the repositories: what a pre-training is compared with its publication by."""
