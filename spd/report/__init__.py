"""Results as tables, claims and figures."""
