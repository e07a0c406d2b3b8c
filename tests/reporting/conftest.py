"""Project histories made of real records, told step by step."""

import random
from datetime import UTC, datetime, timedelta
from statistics import mean, stdev

import pytest

from autoresearch.errors import LedgerError
from autoresearch.ports import Entry
from autoresearch.records import (
    HUMAN,
    RULES,
    SANDBOX,
    Acceptance,
    Approval,
    Arm,
    ArmSummary,
    Assumption,
    Attention,
    Bundle,
    Check,
    Claim,
    Conclusion,
    Config,
    Contrast,
    ContrastResult,
    Controls,
    Critique,
    Decision,
    Deviation,
    Finding,
    Forecast,
    Fork,
    HostFacts,
    Hypothesis,
    Idea,
    Ideas,
    Isolation,
    MadeBy,
    MetricCard,
    Monitoring,
    Objection,
    Person,
    Plan,
    PlanDraft,
    Prediction,
    Preflight,
    Proposal,
    ProxyCard,
    RecheckTrial,
    Record,
    Report,
    ResourceLimits,
    Result,
    Reviewer,
    Run,
    Settings,
    Subject,
    Surprise,
    Tokens,
    Tool,
    TrialSpec,
    Tryout,
    WorkflowRef,
    digest_of,
    file_ref,
    sha256,
)

ADA = Person(name="Ada Lovelace", email="ada@example.org")
AGENT = Person(name="autoresearch", email="autoresearch@localhost")
CODE = b"def run_trial(arm, seed, config, data):\n    return {'gap': [0.1]}\n"
STEPS = {
    "proposal": "start", "ideas": "ideate", "critique": "critique", "plan": "plan", "prediction": "predict",
    "preflight": "preflight", "approval": "approve", "run": "experiment", "result": "experiment",
    "check": "check", "conclusion": "conclude", "monitoring": "monitor", "acceptance": "accept",
    "report": "writeup", "config": "config-1", "fork": "fork-1",
}  # fmt: skip
INPUTS = {
    "ideas": ["proposal"], "critique": ["ideas"], "plan": ["ideas", "critique"], "prediction": ["plan"],
    "preflight": ["critique", "plan", "prediction"], "approval": ["critique", "plan", "prediction", "preflight"],
    "run": ["plan", "approval"], "result": ["run"], "check": ["plan", "prediction", "approval", "result"],
    "conclusion": ["critique", "plan", "prediction", "check"],
    "monitoring": ["critique", "plan", "prediction", "approval", "check", "conclusion"],
    "acceptance": ["result", "check", "conclusion", "monitoring"], "report": ["acceptance"],
}  # fmt: skip


class Tale:
    """A ledger in memory. `foreign` replaces every text that somebody else wrote."""

    def __init__(
        self,
        *,
        foreign=None,
        model="none",
        demonstration=False,
        tier="docker",
        formula="mean",
        reviewer=ADA,
        is_person=True,
        reading=190,
        **settings,
    ):
        self.entries: list[Entry] = []
        self.files: dict[tuple[str, str], bytes] = {}
        self.foreign, self.model, self.tier, self.formula = foreign, model, tier, formula
        self.reviewer = Reviewer(person=reviewer, is_person=is_person)
        self.settings = Settings(model={"use": model}, **settings)
        self.demonstration, self.reading = demonstration, reading
        self.cycle = self.attempt = 1
        self.latest: dict[str, str] = {}
        self.now = datetime(2026, 3, 1, 14, 2, tzinfo=UTC)

    # ------------------------------------------------------------ machinery

    sources = ()
    cites = ()
    """Of the claim C1."""

    def says(self, text: str) -> str:
        return self.foreign or text

    def line(self, text: str) -> str:
        return " ".join(self.says(text).splitlines())[:480]

    def read(self, entry: Entry, path: str) -> bytes:
        try:
            return self.files[entry.digest, path]
        except KeyError:
            raise LedgerError(f"no file {path}") from None

    def add(self, body, *, by=RULES, author=AGENT, files=None, step=None):
        kind = type(body).kind
        record = Record(
            kind=kind, cycle=self.cycle, attempt=self.attempt, step=step or STEPS[kind],
            parent=self.entries[-1].digest if self.entries else None,
            inputs={name: self.latest[name] for name in INPUTS.get(kind, []) if name in self.latest},
            made_by=by, body=body,
        )  # fmt: skip
        self.now += timedelta(seconds=7)
        commit = sha256(record.digest.encode())[:40]
        raw = f"parent {self.entries[-1].commit}\n\n".encode() if self.entries else b""
        self.entries.append(Entry(record, record.digest, commit, self.now, author, raw))
        self.latest[kind] = record.digest
        for path, data in (files or {}).items():
            self.files[record.digest, path] = data
        return self

    def machine(self):
        if self.model == "none":
            return RULES
        return MadeBy(
            author="agent",
            model=self.model,
            tokens=Tokens(input=5120, cached=1024, output=830),
            cost_usd="0.0213",
        )

    # ---------------------------------------------------------------- steps

    def start(self):
        text = self.says("# Label noise\n\nWritten by hand.")
        body = Proposal(
            project="ab" * 16, title=self.line("Does it matter in which direction raters err?"), text=text,
            text_sha256=sha256(text.encode()), author=ADA, settings=self.settings,
            workflow=WorkflowRef(name="standard", sha256="1" * 64, files={}),
            tool=Tool(version="0.1.0", lock_sha256="2" * 64), demonstration=self.demonstration,
            sources=list(self.sources),
        )  # fmt: skip
        return self.add(body, by=HUMAN, author=ADA)

    def ideas(self):
        statements = {
            "H1": "Errors that agree are memorised as solid regions of the wrong class, so over-confidence grows.",
            "R1": "Only the training length matters; the shape of the noise does not.",
            "R2": "Scattered errors spoil more of the input space.",
        }
        candidates = [
            Idea(id=name, statement=self.line(text), expects=[out], refuted_by=["inconclusive"], prior=0.6 if name == "H1" else 0.2)
            for (name, text), out in zip(statements.items(), ["positive", "negligible", "negative"], strict=True)
        ]  # fmt: skip
        why = self.says("It is the cheapest account that makes a signed prediction.")
        why_not = {
            "R1": self.says("Predicts nothing to see; kept as the rival."),
            "R2": self.says("Needs larger inputs to be told apart."),
        }
        return self.add(
            Ideas(
                question=self.line("Does the shape of label noise change over-confidence?"),
                candidates=candidates,
                chosen="H1",
                why=why,
                why_not=why_not,
            ),
            by=self.machine(),
        )

    def critique(self, *, proxy=True):
        card = ProxyCard(
            target=self.line("Classifiers that monitor language models, trained on rater labels."),
            proxy=self.line("A one-hidden-layer network on generated clusters, 30 % of labels wrong."),
            dynamic=self.line("A flexible model fits wrong labels one by one."),
            disanalogies=[self.line("Real rater errors gather on hard items."), self.line("Monitors rarely memorise their labels.")],
            p_given_target=0.65, p_given_not=0.5,
        )  # fmt: skip
        assumptions = [
            Assumption(id="A1", statement=self.line("The long arms have memorised their labels."), status="tested", breaks_if=self.line("train_fit is below 0.9.")),
            Assumption(id="A2", statement=self.line("The average gap is what escalation depends on."), status="accepted", breaks_if=self.line("Errors in both directions cancel.")),
            Assumption(id="A3", statement=self.line("Equal epochs are equal training."), status="open", breaks_if=self.line("One kind is memorised much later.")),
        ]  # fmt: skip
        objections = [
            Objection(
                id="O1",
                objection=self.line("Thirty per cent is one point of a range."),
                answer=self.says("Stated as open."),
            )
        ]
        findings = [
            Finding(
                check="critique.open-assumption",
                severity="warn",
                record="critique",
                explanation=self.line("A3 is open and nothing tests it."),
                evidence=self.says("status: open"),
            )
        ]
        return self.add(
            Critique(
                assumptions=assumptions,
                objections=objections,
                proxy=card if proxy else None,
                findings=findings,
            ),
            by=self.machine(),
        )

    def draft(self, trials=8):
        return {
            "question": self.line("Does the shape of label noise change over-confidence?"),
            "hypotheses": [
                Hypothesis(id="H1", statement=self.line("Over-confidence is larger with structured noise."), expects=["positive"], refuted_by=["negative", "negligible"], prior=0.6),
                Hypothesis(id="R1", statement=self.line("Only training length moves the gap."), expects=["negligible"], refuted_by=["positive", "negative"], prior=0.2),
            ],
            "arms": [Arm(name="uniform-long", description=self.line("30 % of labels replaced by any other class.")), Arm(name="structured-long", description=self.line("30 % of labels moved to the next class."))],
            "metric": MetricCard(name="signed_gap", formula=self.formula, arrays={"x": "gap"}, unit="probability", low=-1, high=1, how_gamed=self.line("Over- and under-confident items cancel.")),
            "contrast": Contrast(form="paired", treatment="structured-long", control="uniform-long", smallest_effect=0.03),
            "trials_per_arm": trials,
            "stopping_rule": self.line("All trials run; nobody looks before."),
            "exclusions": self.line("None."),
            "controls": Controls(positive=self.line("60 % of labels moved: the network learns the wrong class."), negative=self.line("Right labels.")),
            "decision_table": [
                Decision(outcome="positive", conclusion=self.line("Agreeing errors make it more over-confident."), supports=["H1"], refutes=["R1"]),
                Decision(outcome="negligible", conclusion=self.line("The shape does not matter here."), supports=["R1"], refutes=["H1"]),
                Decision(outcome="negative", conclusion=self.line("Scattered errors do more harm."), refutes=["H1", "R1"]),
                Decision(outcome="inconclusive", conclusion=self.line("Not decided.")),
            ],
            "config": {"rate": 0.3, "note": self.says("as in the pilot")},
        }  # fmt: skip

    def plan(self, trials=8):
        body = Plan(**self.draft(trials), experiment=[file_ref("experiment/experiment.py", CODE)])
        return self.add(body, by=self.machine(), files={"experiment/experiment.py": CODE})

    def predict(self):
        forecasts = [
            Forecast(id="F1", forecaster="agent", shape="quantile", about="contrast", quantiles=(-0.01, 0.03, 0.08), primary=True, reasoning=self.says("Agreeing errors win local votes.")),
            Forecast(id="F2", forecaster="agent", shape="categorical", about="outcome", categories={"positive": 0.5, "negative": 0.1, "negligible": 0.2, "inconclusive": 0.2}),
            Forecast(id="F3", forecaster="agent", shape="binary", about="contrast > 0", p=0.8),
        ]  # fmt: skip
        return self.add(Prediction(forecasts=forecasts), by=self.machine())

    def preflight(self, severity="info"):
        findings = [
            Finding(
                check="plan.few-trials",
                severity=severity,
                record="plan",
                explanation=self.line("Eight trials an arm leave a wide interval."),
                evidence=self.says("trials_per_arm: 8"),
            )
        ]
        return self.add(Preflight(findings=findings, rules=["plan.few-trials", "plan.no-control"]))

    def to_gate(self, trials=8):
        if not self.entries:
            self.start()
        return self.ideas().critique().plan(trials).predict().preflight()

    def isolation(self):
        image = "sha256:" + "4" * 64 if self.tier == "docker" else "-"
        return Isolation(
            tier=self.tier, image=image, policy_sha256="5" * 64, harness_sha256="6" * 64, engine="docker 26.1"
        )

    def attention(self):
        return Attention(
            opened_at=self.now,
            decided_at=self.now + timedelta(seconds=self.reading),
            sections_opened=["plan", "code"] if self.reading > 60 else [],
            sections_read=["plan"] if self.reading > 60 else [],
        )

    def approve(self, decision="approve", reason="", tries=()):
        bundle = Bundle(
            gate="approve", project="ab" * 16, cycle=self.cycle, attempt=self.attempt, ledger_head=self.entries[-1].commit,
            plan=self.latest["plan"], prediction=self.latest["prediction"], preflight=self.latest["preflight"],
            files={"experiment/experiment.py": sha256(CODE)}, isolation=self.isolation(), limits=ResourceLimits(),
        )  # fmt: skip
        own = [
            Forecast(
                id="human-1",
                forecaster=f"human:{self.reviewer.person.name}",
                shape="quantile",
                about="contrast",
                quantiles=(-0.05, 0.0, 0.05),
            )
        ]
        edit = decision == "edit"
        body = Approval(
            decision=decision, reviewer=self.reviewer, bundle=bundle, shown=digest_of(bundle),
            reason=reason and self.says(reason), forecasts=own if decision == "approve" and self.reviewer.is_person else [],
            attention=self.attention(), edited=PlanDraft(**self.draft(12)) if edit else None,
            edited_files=[file_ref("edited/experiment/experiment.py", CODE)] if edit else [],
            tries=[Tryout(started_at=self.attention().opened_at, outcome=outcome) for outcome in tries],
            nonce="7" * 64 if decision == "approve" else None,
        )  # fmt: skip
        return self.add(body, by=HUMAN, author=self.reviewer.person)

    def run(self):
        arms = ("uniform-long", "structured-long")
        trials = [
            TrialSpec(index=2 * i + k, arm=arm, seed=1000 + i) for i in range(8) for k, arm in enumerate(arms)
        ]
        return self.add(
            Run(
                approval=self.latest["approval"],
                trials=trials,
                run_id="ar-1-1",
                host="lab",
                probe=None,
            ),
            by=SANDBOX,
        )

    def result(self, status="Completed", refused=()):
        if self.entries[-1].record.kind != "run":
            self.run()
        log = self.says(
            "Traceback (most recent call last):\nValueError: shapes (8,12) and (11,) not aligned\n"
        ).encode("utf-8", "surrogatepass")
        lost, done = status == "Lost", 16 if status == "Completed" else 0 if status == "Lost" else 5
        facts = HostFacts(
            exit_code=None if lost else int(status != "Completed"), wall_seconds=None if lost else 12.3, cpu_seconds=None if lost else 20.1,
            peak_memory_mb=None if lost else 188.0, out_of_memory=None if lost else status == "OutOfMemory", timed_out=None if lost else status == "TimedOut",
            output_truncated=None if lost else False, started_at=None if lost else self.now, ended_at=None if lost else self.now,
        )  # fmt: skip
        why = {"Completed": "every issued trial ended well", "Lost": "nothing is left of the run"}.get(
            status, "trial 5 raised ValueError"
        )
        body = Result(
            status=status, why=self.line(why), run=self.latest["run"], isolation=self.isolation(), probe=None, facts=facts,
            trials_issued=16, trials_completed=done, trials=None if lost else file_ref("trials.jsonl", b"{}\n"),
            log=None if lost else file_ref("log.txt", log), refused=list(refused),
        )  # fmt: skip
        return self.add(body, by=SANDBOX, files={} if lost else {"log.txt": log, "trials.jsonl": b"{}\n"})

    def check(self):
        chance = random.Random(7)
        control = [0.12 + chance.gauss(0, 0.02) for _ in range(8)]
        treated = [value + 0.045 + chance.gauss(0, 0.015) for value in control]
        differences = [a - b for a, b in zip(treated, control, strict=True)]
        middle, half = mean(differences), 2.36 * stdev(differences) / 8**0.5
        arms = [
            ArmSummary(arm=n, n=8, mean=mean(v), sd=stdev(v), values=v)
            for n, v in (("uniform-long", control), ("structured-long", treated))
        ]
        contrast = ContrastResult(
            estimate=middle,
            low=middle - half,
            high=middle + half,
            method="paired t over seeds",
            n=8,
            per_seed=differences,
            outcome="positive",
        )
        from autoresearch.forecasting.scores import resolve, score
        from autoresearch.forecasting.surprise import surprise

        by_digest = {entry.digest: entry.record.body for entry in self.entries}
        forecasts = [
            *by_digest[self.latest["prediction"]].forecasts,
            *by_digest[self.latest["approval"]].forecasts,
        ]
        body = Check(
            arms=arms, contrast=contrast, scores=[], surprise=Surprise(forecast="F1", verdict="expected")
        )
        scores = [s for f in forecasts for s in score(f, resolve(f, body))]
        deviations = [
            Deviation(
                check="check.config",
                severity="info",
                record="run",
                explanation=self.line("None of weight."),
                evidence=self.says("same digest"),
                known="when the trials were read, after the run",
            )
        ]
        findings = [
            Finding(
                check="check.repeat",
                severity="warn",
                record="result",
                explanation=self.line("One trial ran twice as long."),
                evidence=self.says("24 s"),
            )
        ]
        rechecks = [
            RecheckTrial(trial=TrialSpec(index=0, arm="uniform-long", seed=1000), fresh=False, same_bytes=True, value=control[0]),
            RecheckTrial(trial=TrialSpec(index=16, arm="structured-long", seed=2000), fresh=True, same_bytes=None, value=0.163),
        ]  # fmt: skip
        return self.add(
            body.model_copy(
                update={
                    "scores": scores,
                    "surprise": surprise(forecasts[0], middle),
                    "deviations": deviations,
                    "findings": findings,
                    "rechecks": rechecks,
                }
            )
        )

    def conclude(self):
        def claim(name, about, text, before, after, grade="E2"):
            return Claim(
                id=name, statement=self.line(text), about=about, level="L1", scope=self.line("two arms; 8 seeds an arm; 30 % wrong labels"), grade=grade,
                hypotheses=["H1"], verdict="supported", p_before=before, p_after=after, change_our_mind=self.line("a gap below 0.03 at 20 or more fresh seeds"),
                cites=list(self.cites) if name == "C1" else [],
            )  # fmt: skip

        claims = [
            claim(
                "C1",
                "proxy",
                "Structured noise makes the network more over-confident than uniform noise of the same rate.",
                0.6,
                0.82,
            ),
            claim("C2", "proxy", "Training length alone does not explain the gap.", 0.8, 0.9),
            claim(
                "C-target",
                "target",
                "For monitors, expect the same sign; nothing follows about size.",
                0.6,
                0.632,
            ),
        ]
        body = Conclusion(
            claims=claims, takeaway=self.line("Errors that agree with each other cost more trust in confidence than scattered ones."),
            does_not_show=[self.line("Anything about pretrained models."), self.line("How large the effect is for real raters.")],
            surprise_explained=self.says("The effect lies where it was forecast."),
        )  # fmt: skip
        return self.add(body, by=self.machine())

    def monitor(self):
        findings = [
            Finding(
                check="monitor.hedge",
                severity="info",
                record="conclusion",
                explanation=self.line("C2 rests on the same run as C1."),
                evidence=self.says("depends on one design"),
            )
        ]
        return self.add(
            Monitoring(findings=findings, rules=["monitor.numbers", "monitor.interval", "monitor.hedge"])
        )

    def to_accept(self):
        return self.result().check().conclude().monitor()

    def accept(self, decision="accept", reason="", verdicts=("accept", "accept", "reject")):
        subject = Subject(
            gate="accept", project="ab" * 16, cycle=self.cycle, attempt=self.attempt, ledger_head=self.entries[-1].commit,
            result=self.latest["result"], check=self.latest["check"], conclusion=self.latest["conclusion"], monitoring=self.latest["monitoring"],
        )  # fmt: skip
        claims = dict(
            zip(("C1", "C2", "C-target"), ["reject"] * 3 if decision == "reject" else verdicts, strict=True)
        )
        if decision in ("revise", "redo"):
            claims = {}
        body = Acceptance(
            decision=decision, reviewer=self.reviewer, subject=subject, shown=digest_of(subject), claims=claims,
            reason=reason and self.says(reason), attention=self.attention(),
        )  # fmt: skip
        return self.add(body, by=HUMAN, author=self.reviewer.person)

    def report(self):
        files = {"report.md": b"page", "report.html": b"page"}
        pages = [file_ref(path, data) for path, data in files.items()]
        covers = [entry.digest for entry in self.entries]
        return self.add(
            Report(title=self.line("A title"), pages=pages, covers=covers), by=self.machine(), files=files
        )

    def config(self, **settings):
        self.settings = Settings(**{**self.settings.model_dump(), **settings})
        return self.add(
            Config(settings=self.settings, diff=self.says("-max_attempts = 8"), reviewer=self.reviewer),
            by=HUMAN,
            author=self.reviewer.person,
        )

    def fork(self, reason="", **body):
        last = self.entries[-1]
        made = Fork(
            project="cd" * 16, from_project="ab" * 16, from_commit=last.commit, from_record=last.digest,
            reviewer=self.reviewer, reason=reason, settings=self.settings, **body,
        )  # fmt: skip
        return self.add(made, by=HUMAN, author=self.reviewer.person)

    def next_attempt(self):
        self.attempt += 1
        return self

    def next_cycle(self):
        self.cycle, self.attempt = self.cycle + 1, 1
        return self


@pytest.fixture
def tale():
    """Class `Tale`: `tale().to_gate().approve().to_accept().accept()`."""
    return Tale


@pytest.fixture
def accepted(tale):
    return (
        tale()
        .to_gate()
        .approve(reason="The control covers the obvious confound.")
        .to_accept()
        .accept(reason="The target claim says more than one proxy can.")
        .report()
    )


@pytest.fixture
def rejected_twice(tale):
    """A rejection, a revision, a crash, and then an accepted result, by a model."""
    made = (
        tale(model="anthropic:claude-test")
        .to_gate()
        .approve("reject", "One arm alone shows nothing; name a rival.")
    )
    made.next_attempt().to_gate().approve(
        "revise", "Eight trials are too few for the effect you want to see."
    )
    made.next_attempt().plan(12).predict().preflight().approve().result("Crashed")
    made.next_attempt().plan(16).predict().preflight().approve().to_accept()
    return made.accept(
        "follow-up", "Repeat with real rater confusions.", ("accept", "downgrade", "reject")
    ).report()
