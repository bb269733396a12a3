"""Faults of measuring."""

from __future__ import annotations

from deploy.errors import DeployError


class FigureFailed(DeployError):
    """A figure could not be measured, or what was measured was not right: there is no number then."""
