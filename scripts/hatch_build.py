"""Put the assets into the wheel, where autoresearch/assets.py looks for them.

A hook, since hatch's own `force-include` would copy them into an editable installation
too, where they would go stale; there they are used in place.
"""

from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

ASSETS = ("workflows", "sandbox", "examples", "requirements.lock")


class AssetsHook(BuildHookInterface):
    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        if version != "editable":
            build_data["force_include"] |= {name: f"autoresearch/_assets/{name}" for name in ASSETS}
