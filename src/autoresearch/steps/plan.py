"""The preregistration: what will be run and compared, and what each outcome would mean."""

from collections.abc import Mapping, Sequence

from autoresearch.layout import LOCK_FILE
from autoresearch.records import (
    HUMAN,
    RULES,
    Approval,
    DataInput,
    Environment,
    MadeBy,
    Plan,
    PlanDraft,
    file_ref,
)
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
        return _frozen(at, edit.edited, files, HUMAN)
    if ports.model is not None:
        reply, made_by, exchange = ask(at, ports, PlanReply)
        draft, files = reply.to_body()
        return _frozen(at, draft, files, made_by, exchange)
    parsed = at.parsed()
    return _frozen(at, parsed.plan, parsed.files, RULES)


def edited_by_person(at: Situation) -> Approval | None:
    """The approval that sent the walk back here with the person's own plan."""
    body = at.feedback.record.body if at.feedback else None
    return body if isinstance(body, Approval) and body.decision == "edit" else None


def _frozen(
    at: Situation,
    draft: PlanDraft,
    files: Mapping[str, bytes],
    made_by: MadeBy,
    exchange: Mapping[str, bytes] | None = None,
) -> Draft:
    """The plan over what was taken in with the proposal: a person's environment and data."""
    proposal = at.proposal_body()
    environment, lock = proposal.environment, {}
    if environment and environment.lock:
        lock = {LOCK_PATH: at.read(at.proposal, environment.lock.path)}
        environment = Environment(lock=file_ref(LOCK_PATH, lock[LOCK_PATH]))
    plan = freeze(draft, files, environment, proposal.inputs)
    return Draft(plan, made_by, {**files, **lock, **(exchange or {})})


LOCK_PATH = f"environment/{LOCK_FILE}"


def freeze(
    draft: PlanDraft,
    files: Mapping[str, bytes],
    environment: Environment | None = None,
    data: Sequence[DataInput] = (),
) -> Plan:
    """The plan with its files hashed: from here on it does not change."""
    refs = [file_ref(path, data) for path, data in sorted(files.items())]
    fields = {name: getattr(draft, name) for name in PlanDraft.model_fields}
    return Plan(**fields, experiment=refs, environment=environment, inputs=list(data))
