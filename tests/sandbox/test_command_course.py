"""A whole course with a shell script, an image made from a lock, and data, in the real sandbox."""

import pytest
from tests.wheels import make_wheel

from autoresearch.adapters.environments import Environments
from autoresearch.adapters.git_ledger import GitLedger
from autoresearch.adapters.input_store import InputStore
from autoresearch.cli.start import Choices, start_project
from autoresearch.records import Approval, Check, Conclusion, Preflight, Report, Result
from autoresearch.testing import PERSON, FixedEntropy
from autoresearch.testing_project import STILL, drive
from autoresearch.verify import verify

pytestmark = [pytest.mark.docker, pytest.mark.slow]

EXPERIMENT = """## Experiment

```yaml
command: [sh, "{experiment}/run.sh", "{arm}", "{seed}"]
environment: requirements.lock
inputs: [{name: noise, path: noise.txt}]
```

```sh run.sh
set -e
cat > about.json
python3 "$(dirname "$0")/add.py" "$1" "$2" < /data/noise > metrics.json
```

```python add.py
import json
import sys

from shifts import SHIFTS

arm, seed = sys.argv[1], int(sys.argv[2])
noise = [float(word) for word in sys.stdin.read().split()]
print(json.dumps({"numbers": [value + SHIFTS[arm] + (seed % 7) / 100 for value in noise]}))
```
"""


def test_a_command_reads_data_in_its_own_environment(tmp_path, quick, docker_sandbox, image_id):
    from autoresearch.adapters import engine

    written = tmp_path / "written"
    written.mkdir()
    lock = make_wheel(written, "shifts", "1.0", f"SHIFTS = {{'plain': 0.0, 'shifted': 1.0}}  # {tmp_path}\n")
    (written / "requirements.lock").write_text(lock)
    (written / "noise.txt").write_text(" ".join(str(n / 10) for n in range(-20, 21)))
    text = quick.read_text()
    (written / "study.md").write_text(text[: text.index("## Experiment")] + EXPERIMENT)
    ledger = GitLedger(
        start_project(written / "study.md", tmp_path / "p", Choices(), FixedEntropy(), PERSON), STILL
    )
    environments = Environments(pip_options=["--no-index", "--find-links", str(written)])
    sandbox = docker_sandbox(environments=environments, store=InputStore(ledger.inputs_dir))
    try:
        drive(ledger, ["approve", "accept"], sandbox=sandbox)
    finally:
        client = engine.connect()
        client.images.remove(environments.from_lock(lock.encode(), image_id), force=True)
        client.close()
    found = {type(entry.record.body): entry.record.body for entry in ledger.entries()}
    assert found[Result].status == "Completed", found[Result].why
    assert found[Approval].bundle.isolation.image != image_id
    assert found[Check].contrast.estimate == pytest.approx(1.0)
    assert {trial.same_bytes for trial in found[Check].rechecks} == {True, None}, (
        "rechecks ran with data, too"
    )
    assert "plan.command" in {finding.check for finding in found[Preflight].findings}
    assert {claim.grade for claim in found[Conclusion].claims} == {"E1"}
    report = ledger.read("cycles/01/report.md", ledger.head()).decode()
    assert "The experiment is a command" in report
    assert found[Report]
    assert verify(ledger).sound, verify(ledger).lines()
    ledger.close()
