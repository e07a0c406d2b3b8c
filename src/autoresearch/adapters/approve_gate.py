"""The approve gate: forecast, decision, reason where due, digest."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

from autoresearch.adapters.code_view import diff_page
from autoresearch.adapters.dialogue import Dialogue
from autoresearch.adapters.editor import PLAN_FILE, parse_plan, plan_yaml
from autoresearch.adapters.gate_screens import (
    EDITS,
    approve_help,
    approve_screen,
    approve_sections,
    blocking,
    code_to_read,
    decisions_offered,
    forecast_help,
    forecast_row,
    reaches_little,
    tried,
)
from autoresearch.adapters.screen_text import digits, page, sentence, several, theirs
from autoresearch.errors import AutoresearchError, InvalidInput, LedgerError, Pending
from autoresearch.forecast_line import contrast_name, events, parse_chance, parse_forecast
from autoresearch.ports import ApprovalAnswer, ApprovalView, TryOut
from autoresearch.records import ApproveDecision, Forecast, Person, PlanDraft, clip, digest_of, sha256

_FILES = "files/"
"""Where the experiment's files stand in the editor's directory, apart from the plan."""


@dataclass(frozen=True)
class Edited:
    plan: PlanDraft
    files: Mapping[str, bytes]


@dataclass
class ApproveGate:
    view: ApprovalView
    dialogue: Dialogue
    reviewer: Person
    try_out: TryOut
    unlocked: bool = field(init=False)
    """The author's forecasts may be shown."""

    def __post_init__(self) -> None:
        if {path: sha256(data) for path, data in self.view.files.items()} != self.view.bundle.files:
            raise LedgerError(
                "the files to show are not those that the approval would cover; nothing was asked"
            )
        self.unlocked = not self.view.ask_forecast or self.dialogue.memory.forecasts is not None
        talk = self.dialogue
        talk.screen = lambda: approve_screen(self.view, talk.look, forecasts_open=self.unlocked)
        talk.sections = lambda: approve_sections(self.view, talk.look, forecasts_open=self.unlocked)
        talk.help = lambda: approve_help(talk.look)

    def run(self, chosen: ApproveDecision | None, given_reason: str) -> ApprovalAnswer:
        """The whole gate. `chosen` and `given_reason` came with the command. Raises Pending."""
        self.dialogue.show()
        forecasts = self._own_forecast() if self.view.ask_forecast else []
        while True:
            decision, part = (self._allowed(chosen), "") if chosen else (None, "")
            if decision is None:
                decision, part = self._decide()
            reason = given_reason if chosen else ""
            if decision == "approve" and not self._can_approve():
                chosen = None
                continue
            offered = self._offered_reason(decision)
            if (decision in ("reject", "revise") or offered) and not reason.strip():
                reason = self.dialogue.reason(decision, offered)
                if not reason:
                    chosen = None
                    continue
            edited = self._edit(part) if decision == "edit" else None
            chosen = None
            if decision == "edit" and edited is None:
                continue
            what = "record your edit" if edited else decision
            if self.dialogue.confirm(digest_of(self.view.bundle), what):
                return self._answer(decision, reason, forecasts, edited)

    def _answer(
        self, decision: ApproveDecision, reason: str, forecasts: Sequence[Forecast], edited: Edited | None
    ) -> ApprovalAnswer:
        return ApprovalAnswer(
            decision=decision,
            shown=digest_of(self.view.bundle),
            reason=reason,
            attention=self.dialogue.attention(),
            forecasts=forecasts,
            forecasts_skipped=self.view.ask_forecast and not forecasts,
            edited=edited.plan if edited else None,
            edited_files=edited.files if edited else {},
            tries=self.view.tries,
        )

    # ---------------------------------------------------------------- deciding

    def _decide(self) -> tuple[ApproveDecision, str]:
        """The decision, and with `edit` what to edit: everything, unless one part was named."""
        while (answer := self._offered()) == "try":
            if self._can_approve():
                self._try()
        word, _, part = answer.partition(" ")
        decisions: dict[str, ApproveDecision] = {
            "approve": "approve",
            "reject": "reject",
            "revise": "revise",
            "edit": "edit",
            "terminate": "terminate",
        }
        return decisions[word], part

    def _offered(self) -> str:
        return self.dialogue.decide(decisions_offered(self.view), self._refuse_approve, also=EDITS)

    def _try(self) -> None:
        """Let it run once an arm, after the digest was typed; show only whether it ran."""
        if not self.dialogue.confirm(digest_of(self.view.bundle), "try it"):
            return
        self.dialogue.say("Trying it: one trial an arm on a throwaway seed, whose values nobody sees ...")
        try:
            made = self.try_out(digest_of(self.view.bundle))
        except Pending:
            raise
        except AutoresearchError as error:
            self.dialogue.trouble(error)
            return
        self.view = replace(self.view, tries=[*self.view.tries, made])
        self.dialogue.say(*tried(self.dialogue.look, self.view.tries))
        if made.crash:
            self.dialogue.page("crash", page(self.dialogue.look, made.crash))

    def _offered_reason(self, decision: ApproveDecision) -> str:
        """What the last try raised, for a revision; the proxy's reach, for not running at all."""
        if decision == "terminate" and (reach := reaches_little(self.view)):
            return f"not run: {reach}"
        crash = self.view.tries[-1].crash if self.view.tries and decision == "revise" else ""
        return f"the try crashed: {crash.splitlines()[-1]}" if crash else ""

    def _allowed(self, chosen: ApproveDecision | None) -> ApproveDecision | None:
        """The decision that came with the command, unless a finding forbids it."""
        return None if chosen == "approve" and self._refuse_approve(chosen) else chosen

    def _can_approve(self) -> bool:
        """False, once the code was opened, where its name and size alone would deceive."""
        notes = code_to_read(self.view)
        if not notes or "code" in self.dialogue.read:
            return True
        self.dialogue.say("Read all of the code before you approve it (e skips some); then decide again:")
        self.dialogue.say(*several(self.dialogue.look, "", [(note, "") for note in notes], 5, 2))
        self.dialogue.open_section("2")
        return False

    def _refuse_approve(self, answer: str) -> bool:
        """Say why `approve` is not offered, if that is what was typed."""
        stopping = blocking(self.view)
        if not stopping or not "approve".startswith(answer):
            return False
        self.dialogue.say("This cannot be approved: a finding blocks it. Reject, revise or edit.")
        for finding in stopping:
            self.dialogue.say(*theirs(self.dialogue.look, "", f"{finding.check}: {finding.explanation}", 2))
        return True

    # --------------------------------------------------------------- forecasts

    def _own_forecast(self) -> list[Forecast]:
        """The reviewer's forecasts, or nothing if skipped; then the author's are shown.

        Once they were shown, the answer stands, though the gate was left in between.
        """
        memory = self.dialogue.memory
        if memory.forecasts is not None:
            said = (
                "Your forecast stands as you gave it before."
                if memory.forecasts
                else "You skipped your forecast before."
            )
            self.dialogue.say(*sentence(self.dialogue.look, said))
            return list(memory.forecasts)
        talk = self.dialogue
        decisions, talk.help = talk.help, lambda: forecast_help(talk.look)
        forecasts = self._asked_forecasts()
        memory.keep_forecasts(forecasts)
        self.unlocked, talk.help = True, decisions
        self.dialogue.say(*forecast_row(self.view, self.dialogue.look))
        return forecasts

    def _asked_forecasts(self) -> list[Forecast]:
        """The contrast first; whoever skips that is not asked about its thresholds."""
        name, null = contrast_name(self.view.plan), self.view.plan.contrast.null
        who = f"human:{clip(self.reviewer.name, 200)}"
        self.dialogue.say(
            *sentence(
                self.dialogue.look,
                "Your forecast first: values the result stays below with 10, 50, 90 % chance.",
            ),
            *sentence(
                self.dialogue.look,
                f"One number alone is the chance that it is above {digits(null)}. Section numbers still work.",
            ),
            *(
                sentence(self.dialogue.look, f"Your {record}.")
                if (record := self.view.reviewer_record)
                else []
            ),
        )
        first = self._asked(
            f"Your 10/50/90 for {name} [Enter skips]: ",
            lambda line: parse_forecast(line, name="reviewer", forecaster=who, null=null),
        )
        if first is None:
            return []
        given = [first]
        for number, event in enumerate(events(self.view.prediction.forecasts), 2):
            if event.about == first.about:
                continue
            where = f"{'above' if event.above else 'below'} {digits(event.threshold)}"
            chance = self._asked(
                f"Your chance that it is {where} [Enter skips]: ",
                partial(parse_chance, event=event, name=f"reviewer-{number}", forecaster=who),
            )
            given += [chance] if chance else []
        return given

    def _asked(self, prompt: str, parse: Callable[[str], Forecast | None]) -> Forecast | None:
        while True:
            answer = self.dialogue.ask(prompt)
            if self.dialogue.open_section(answer):
                continue
            try:
                return parse(answer)
            except InvalidInput as error:
                self.dialogue.trouble(error)

    # ----------------------------------------------------------------- editing

    def _edit(self, part: str) -> Edited | None:
        """The plan and files as the person changed them; None if they did not.

        `part`: `plan` or `code` opens only that.
        """
        before = self._editable()
        files = before
        while True:
            opened = {p: d for p, d in files.items() if part in ("", "plan" if p == PLAN_FILE else "code")}
            edited = self.dialogue.edit(opened)
            if not edited:
                return None
            after = {**files, **edited}
            try:
                plan = parse_plan(after[PLAN_FILE])
            except InvalidInput as error:
                self.dialogue.trouble(error)
                if self.dialogue.ask('"e" edits again, Enter discards: ').lower() != "e":
                    return None
                files = after
                continue
            if after == before:
                self.dialogue.say("Nothing was changed.")
                return None
            self.dialogue.page("your edit", diff_page(self.dialogue.look, before, after))
            changed = {path.removeprefix(_FILES): data for path, data in after.items() if path != PLAN_FILE}
            return Edited(plan, {**self.view.files, **changed})

    def _editable(self) -> dict[str, bytes]:
        """The plan, and every file that is text."""
        texts = {f"{_FILES}{path}": data for path, data in sorted(self.view.files.items()) if _is_text(data)}
        return {PLAN_FILE: plan_yaml(self.view.plan), **texts}


def _is_text(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return b"\0" not in data
