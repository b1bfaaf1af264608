"""The experiment's configuration."""
