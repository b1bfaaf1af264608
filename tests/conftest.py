def pytest_terminal_summary(terminalreporter):
    """Says how much was not tested for want of real images, since a quiet run names no skipped test."""
    skipped = [
        report for report in terminalreporter.stats.get("skipped", []) if "SPD_DATA" in str(report.longrepr)
    ]
    if skipped:
        terminalreporter.write_line(
            f"Skipped because SPD_DATA names no folder of real images: {len(skipped)}"
        )
