import pytest


def pytest_collection_modifyitems(config, items):
    """Minutes of full-size networks run only when they are asked for: `pytest -m paper`."""
    if "paper" in config.option.markexpr:
        return
    for item in items:
        if item.get_closest_marker("paper"):
            item.add_marker(pytest.mark.skip(reason="full-size networks take minutes: pytest -m paper"))
