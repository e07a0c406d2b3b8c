"""The experiment that carries out many attacks, each in a trial of its own, named by the arm.

Attacks of `inside/` judge themselves: what came of each attempt is left in `artifacts/<name>.json`.
Those of `outputs/` leave things in `artifacts/<name>/`, for the host to judge.
"""

import importlib
import json
import os


def run_trial(arm, seed, config, data):
    module = importlib.import_module(arm)
    if arm.startswith("out_"):
        os.mkdir(arm)
        os.chdir(arm)
        module.attack()
        return {"worked": 0}
    outcomes = {what: str(came_of_it) for what, came_of_it in module.attack(config)}
    with open(f"/out/artifacts/{arm}.json", "w") as file:
        json.dump(outcomes, file)
    return {"tried": len(outcomes)}
