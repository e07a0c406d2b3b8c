"""The preregistration: what will be run and compared, and what each outcome would mean."""

from collections.abc import Mapping

from autoresearch.records import HUMAN, RULES, Approval, Plan, PlanDraft, file_ref
from autoresearch.replies import PlanReply
from autoresearch.steps.ask import ask
from autoresearch.steps.situation import Draft, Situation, StepPorts


def inputs(at: Situation, *, by_model: bool) -> dict[str, str]:
    if edited_by_person(at) is not None or by_model:
        return {"proposal": at.proposal.digest} | at.digests("ideas", "critique") | at.feedback_digest()
    return at.digests("ideas", "critique") | at.sections(
        "question", "hypotheses", "rivals", "plan", "decision-table", "experiment"
    )


def run(at: Situation, ports: StepPorts) -> Draft:
    edit = edited_by_person(at)
    if edit is not None and at.feedback is not None and edit.edited is not None:
        files = {
            ref.path.removeprefix("edited/"): at.read(at.feedback, ref.path) for ref in edit.edited_files
        }
        return Draft(freeze(edit.edited, files), HUMAN, files)
    if ports.model is not None:
        reply, made_by, exchange = ask(at, ports, PlanReply)
        draft, files = reply.to_body()
        return Draft(freeze(draft, files), made_by, {**files, **exchange})
    parsed = at.parsed()
    return Draft(freeze(parsed.plan, parsed.files), RULES, parsed.files)


def edited_by_person(at: Situation) -> Approval | None:
    """The approval that sent the walk back here with the person's own plan."""
    body = at.feedback.record.body if at.feedback else None
    return body if isinstance(body, Approval) and body.decision == "edit" else None


def freeze(draft: PlanDraft, files: Mapping[str, bytes]) -> Plan:
    """The plan with its files hashed: from here on it does not change."""
    refs = [file_ref(path, data) for path, data in sorted(files.items())]
    fields = {name: getattr(draft, name) for name in PlanDraft.model_fields}
    return Plan(**fields, experiment=refs)
