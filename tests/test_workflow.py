"""The compiler's rules: no path reaches a container or the write-up but through its gate."""

import shutil

import pytest

from autoresearch import assets
from autoresearch.cli.start import workflow_files
from autoresearch.errors import InvalidInput
from autoresearch.workflow import parse_workflow, workflow_schema

STANDARD = (assets.workflows() / "standard" / "workflow.yaml").read_text()


def changed(*pairs: tuple[str, str]) -> str:
    text = STANDARD
    for old, new in pairs:
        assert old in text, old
        text = text.replace(old, new)
    return text


def test_the_standard_workflow_is_sound():
    workflow = parse_workflow(STANDARD)
    assert list(workflow.steps) == [
        "ideate", "critique", "plan", "predict", "preflight", "approve",
        "experiment", "check", "conclude", "monitor", "accept", "writeup",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("edit", "path"),
    [
        (("    next: approve\n", "    next: experiment\n"), "preflight → experiment"),
        (("      reject: ideate", "      reject: experiment"), "approve → experiment"),
        (("      terminate: end", "      terminate: experiment"), "approve → experiment"),
        (("      failed: plan ", "      failed: experiment "), "experiment"),
        (("      revise: conclude", "      revise: writeup"), "accept → writeup"),
        (("      redo: plan", "      redo: experiment"), "experiment"),
    ],
)
def test_a_path_round_a_gate_is_refused_and_named(edit, path):
    with pytest.raises(InvalidInput, match="without passing") as caught:
        parse_workflow(changed(edit))
    assert path in str(caught.value)


def test_a_workflow_without_a_gate_is_refused():
    text = changed(
        ("    next: approve\n", "    next: experiment\n"), ("      lost: approve", "      lost: plan")
    )
    start = text.index("  approve:")
    text = text[:start] + text[text.index("  experiment:") :]
    with pytest.raises(InvalidInput, match="experiment can be reached"):
        parse_workflow(text)


def test_an_early_gate_does_not_stand_in_for_the_late_one():
    gate = "{approve: critique, reject: ideate, revise: ideate, edit: ideate, terminate: end}"
    early = f"  early:\n    kind: approval\n    next: {gate}\n"
    text = changed(("    next: critique\n", "    next: early\n")) + early
    with pytest.raises(InvalidInput, match="early can be reached without a preflight record"):
        parse_workflow(text)


def test_an_extra_gate_and_an_extra_critique_are_allowed():
    text = changed(("    next: plan\n", "    next: second\n")) + (
        "  second:\n    kind: critique\n    prompt: prompts/critique.md\n    next: plan\n"
    )
    assert "second" in parse_workflow(text).steps
    text = changed(("      approve: experiment", "      approve: approve-again")) + (
        "  approve-again:\n    kind: approval\n    next: "
        "{approve: experiment, reject: ideate, revise: plan, edit: plan, terminate: end}\n"
    )
    assert "approve-again" in parse_workflow(text).steps


@pytest.mark.parametrize(
    ("edit", "problem"),
    [
        (("      accept: writeup", "      accept: writeupp"), "did you mean writeup"),
        (("    kind: preflight", "    kind: preflight\n    promt: x"), "did you mean prompt"),
        (("    kind: preflight", "    kind: preflght"), "steps.preflight.kind"),
        (("      terminate: end\n", ""), "terminate"),
        (("    next: monitor", "    next: end"), "nothing leads to"),
        (("start: ideate", "start: nowhere"), "unknown step 'nowhere'"),
        (("schema: 1", "schema: 2"), "schema"),
        (("    prompt: prompts/plan.md", "    prompt: ../../etc/passwd"), "steps.plan.prompt"),
        (("  monitor:\n    kind: monitoring", "  monitor:\n    kind: conclusion"), "exactly one conclusion"),
        (("name: standard", "name: [standard"), "not YAML"),
    ],
)
def test_a_broken_workflow_is_refused_with_the_place(edit, problem):
    with pytest.raises(InvalidInput, match=problem):
        parse_workflow(changed(edit))


@pytest.mark.parametrize(
    "text", ["", "[]", "just text", "steps: !!python/object:os.system {}", "a: &x [*x]", "[" * 5000]
)
def test_what_is_no_workflow_at_all_is_refused(text):
    with pytest.raises(InvalidInput):
        parse_workflow(text)


def test_the_schema_names_every_key():
    schema = workflow_schema()
    assert set(schema["properties"]) == {"schema", "name", "start", "steps"}


@pytest.mark.parametrize(
    ("data", "says"), [(b"Plan caf\xe9.\n", "UTF-8: byte 8"), (b"a" * 200_001, "at most")]
)
def test_a_prompt_that_cannot_be_read_is_refused_before_the_project_is_made(tmp_path, data, says):
    shutil.copytree(assets.workflows() / "standard", tmp_path / "mine")
    assert "prompts/plan.md" in workflow_files(tmp_path / "mine" / "workflow.yaml")
    (tmp_path / "mine" / "prompts" / "plan.md").write_bytes(data)
    with pytest.raises(InvalidInput, match=rf"prompts/plan\.md.*{says}"):
        workflow_files(tmp_path / "mine" / "workflow.yaml")
