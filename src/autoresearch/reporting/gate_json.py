"""A gate's whole content as JSON, for other programs to read. Nothing reads it back: it cannot decide."""

from base64 import b64encode
from collections.abc import Mapping

from autoresearch.ports import AcceptanceView, ApprovalView
from autoresearch.records import digest_of, sha256

WITHHELD = "not shown before the reviewer has given or skipped their own; see: autoresearch show prediction"


def approval_json(view: ApprovalView) -> dict[str, object]:
    """The author's forecasts are left out while the reviewer's own are still to be asked for."""
    forecasts = view.prediction.model_dump(mode="json")["forecasts"]
    return {
        "gate": view.bundle.gate,
        "kind": "approval",
        "digest": digest_of(view.bundle),
        "bundle": view.bundle.model_dump(mode="json"),
        "title": view.title,
        "question": view.question,
        "model": view.model,
        "cost_usd": view.cost_usd,
        "cap_usd": view.cap_usd,
        "trials": view.expected_trials,
        "plan": view.plan.model_dump(mode="json"),
        "critique": view.critique.model_dump(mode="json"),
        "preflight": view.preflight.model_dump(mode="json"),
        "forecasts": WITHHELD if view.ask_forecast else forecasts,
        "files": _files(view.files),
        "previous_plan": view.previous_plan.model_dump(mode="json") if view.previous_plan else None,
        "previous_files": _files(view.previous_files),
        "history": list(view.history),
        "before": view.before,
        "known": list(view.known),
        "power": view.power,
        "tries": [one.model_dump(mode="json") for one in view.tries],
    }


def acceptance_json(view: AcceptanceView) -> dict[str, object]:
    return {
        "gate": view.subject.gate,
        "kind": "acceptance",
        "digest": digest_of(view.subject),
        "subject": view.subject.model_dump(mode="json"),
        "title": view.title,
        "plan": view.plan.model_dump(mode="json"),
        "forecasts": [forecast.model_dump(mode="json") for forecast in view.forecasts],
        "approval": view.approval.model_dump(mode="json"),
        "result": view.result.model_dump(mode="json"),
        "check": view.check.model_dump(mode="json"),
        "conclusion": view.conclusion.model_dump(mode="json"),
        "monitoring": view.monitoring.model_dump(mode="json"),
        "critique": view.critique.model_dump(mode="json"),
        "log": view.log,
        "history": list(view.history),
        "known": list(view.known),
    }


def _files(files: Mapping[str, bytes]) -> dict[str, dict[str, str]]:
    """Every file whole: as text where it is UTF-8, else in base64."""
    return {path: {"sha256": sha256(data), **_content(data)} for path, data in sorted(files.items())}


def _content(data: bytes) -> dict[str, str]:
    try:
        return {"text": data.decode()}
    except UnicodeDecodeError:
        return {"base64": b64encode(data).decode()}
