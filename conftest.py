"""Switches the plug-in on: `pytest --backend B` judges a backend, plain `pytest` runs our own tests."""

pytest_plugins = ["harness.plugin"]
