"""The gate as plain pytest: `pytest -p keeprate.plugin --backend=B`, from any folder."""

from keeprate.harness.plugin import pytest_addoption, pytest_configure

__all__ = ["pytest_addoption", "pytest_configure"]
