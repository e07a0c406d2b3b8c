"""The nouns: one frozen record per step, its canonical bytes and its digest.

Data flows one way, and "back" is a new record, never a changed one:

    proposal → ideas → critique → plan → prediction → preflight → approval
             → run → result → check → conclusion → monitoring → acceptance → report

A record is a header (which step made it, from which inputs) and a body. The
digest of a record is the SHA-256 of its RFC 8785 canonical JSON, so it does
not depend on key order or white space.
"""

import base64
import binascii
import hashlib
import json
from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any, ClassVar, Literal, TypeVar

import rfc8785
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    JsonValue,
    SerializeAsAny,
    ValidationError,
    field_validator,
    model_validator,
)

from autoresearch.errors import InvalidInput, LedgerError

Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
"""SHA-256 in lower-case hex."""
ProjectId = Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")]
Name = Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_.-]{0,63}$")]
"""An identifier that is safe in paths, trailers and prompts."""
Line = Annotated[str, Field(min_length=1, max_length=500, pattern=r"^[^\r\n]*$")]
Text = Annotated[str, Field(max_length=20_000)]
Probability = Annotated[float, Field(ge=0, le=1)]

Kind = Literal[
    "proposal", "ideas", "critique", "plan", "prediction", "preflight", "approval", "run",
    "result", "check", "conclusion", "monitoring", "acceptance", "report", "config", "fork",
]  # fmt: skip

Outcome = Literal["positive", "negative", "negligible", "inconclusive"]
"""What the interval of the primary contrast says; see `analysis.outcome_of`."""
OUTCOMES: tuple[Outcome, ...] = ("positive", "negative", "negligible", "inconclusive")


class Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, populate_by_name=True)


def canonical(value: BaseModel | JsonValue) -> bytes:
    """RFC 8785 canonical JSON. Raises InvalidInput for what JSON cannot carry exactly."""
    plain = value.model_dump(mode="json", by_alias=True) if isinstance(value, BaseModel) else value
    try:
        return rfc8785.dumps(plain)
    except rfc8785.CanonicalizationError as error:
        raise InvalidInput(f"not representable as canonical JSON: {error}") from error


def digest_of(value: BaseModel | JsonValue) -> str:
    """SHA-256 of the canonical JSON, in hex."""
    return hashlib.sha256(canonical(value)).hexdigest()


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


# ---------------------------------------------------------------- small parts


class Person(Frozen):
    name: Line
    email: Annotated[str, Field(max_length=254, pattern=r"^[^\r\n<>]*$")]

    def __str__(self) -> str:
        return f"{self.name} <{self.email}>"


AGENT = Person(name="autoresearch", email="autoresearch@localhost")
"""Who commits what no person wrote."""


class FileRef(Frozen):
    """A file that a record vouches for, beside it in the attempt's directory."""

    path: Annotated[str, Field(max_length=300, pattern=r"^[A-Za-z0-9_][A-Za-z0-9_./-]*$")]
    sha256: Digest
    size: Annotated[int, Field(ge=0)]
    """Bytes."""
    committed: bool = True
    """False: too large for git, kept by digest in `.git/autoresearch/artifacts/`."""

    @field_validator("path")
    @classmethod
    def _stays_inside(cls, path: str) -> str:
        parts = path.split("/")
        if any(part in ("", ".", "..") or part.lower().startswith(".git") for part in parts):
            raise ValueError("must be a plain relative path")
        return path


def file_ref(path: str, data: bytes, *, committed: bool = True) -> FileRef:
    return FileRef(path=path, sha256=sha256(data), size=len(data), committed=committed)


ImageId = Annotated[str, Field(pattern=r"^sha256:[0-9a-f]{64}$")]
"""An image's full ID. Names and tags move; this does not."""


class Environment(Frozen):
    """What the experiment's code runs in, where that is not the sandbox's own image."""

    lock: FileRef | None = None
    """A pip lock with hashes: the image holds Python and exactly these packages."""
    image: ImageId | None = None
    """An image that stands on the engine already."""

    @model_validator(mode="after")
    def _one(self) -> "Environment":
        if (self.lock is None) == (self.image is None):
            raise ValueError("give a lock or an image, and only one of them")
        return self


class DataInput(Frozen):
    """Data of the person's, copied once into the project's store and read at `/data/<name>`."""

    name: Name
    path: Line
    """Where it was copied from, as the proposal says it."""
    sha256: Digest
    """Of the canonical JSON of path → SHA-256; a single file has the path `.`."""
    files: Annotated[int, Field(ge=1)]
    size: Annotated[int, Field(ge=0)]
    """Bytes, all files together."""


SOURCE_ID = r"[A-Za-z0-9_][A-Za-z0-9_.:/-]{0,99}"
SourceId = Annotated[str, Field(pattern=rf"^{SOURCE_ID}$")]
"""What stands in `[@id]`: a key of a .bib file, or the name of a file in `sources/`."""


class Source(Frozen):
    """Something to read or to cite, as it was when the proposal was taken in."""

    id: SourceId
    reference: Line
    """What it is, for people: the entry of the .bib file in one line, else the file's name."""
    original: Literal["text", "pdf", "reference"]
    """`reference`: an entry of a .bib file without a text; it is known and nobody here has read it."""
    path: Line
    """The file below `sources/`; for a reference the .bib file."""
    sha256: Digest
    """Of that file's bytes, which are not kept."""
    size: Annotated[int, Field(ge=0)]
    text: FileRef | None = None
    """What steps are shown of it, committed beside the proposal's record."""

    @model_validator(mode="after")
    def _has_its_text(self) -> "Source":
        if (self.text is None) != (self.original == "reference"):
            raise ValueError("a file has a text, and a reference has none")
        return self


Cites = Annotated[list[SourceId], Field(max_length=50)]
"""Ids of sources that bear out what stands beside them."""


class Tokens(Frozen):
    input: Annotated[int, Field(ge=0)] = 0
    cached: Annotated[int, Field(ge=0)] = 0
    output: Annotated[int, Field(ge=0)] = 0


TokenCount = Annotated[int, Field(ge=0, le=10**9)]


class Usage(BaseModel):
    """Tokens, as the server counts them. Servers that leave a count out are taken to mean 0."""

    model_config = ConfigDict(extra="ignore")

    input_tokens: TokenCount = 0
    output_tokens: TokenCount = 0
    cache_creation_input_tokens: TokenCount | None = None
    cache_read_input_tokens: TokenCount | None = None

    def tokens(self) -> Tokens:
        written = self.cache_creation_input_tokens or 0
        return Tokens(
            input=self.input_tokens + written,
            cached=self.cache_read_input_tokens or 0,
            output=self.output_tokens,
        )


CostUsd = Annotated[str, Field(pattern=r"^(\d+(\.\d+)?|unknown)$")]
"""A decimal, or `unknown` where no price is."""


class Spend(Frozen):
    """What calls to models took."""

    tokens: Tokens = Tokens()
    cost_usd: CostUsd = "0"
    calls: Annotated[int, Field(ge=0)] = 0
    """Requests sent, tries that failed included."""
    seconds: Annotated[int, Field(ge=0)] = 0
    """Spent waiting, rounded up."""

    def __add__(self, other: "Spend") -> "Spend":
        mine, theirs = self.tokens, other.tokens
        return Spend(
            tokens=Tokens(
                input=mine.input + theirs.input,
                cached=mine.cached + theirs.cached,
                output=mine.output + theirs.output,
            ),
            cost_usd=add_costs(self.cost_usd, other.cost_usd),
            calls=self.calls + other.calls,
            seconds=self.seconds + other.seconds,
        )


def add_costs(*costs: str) -> str:
    """Their sum; `unknown` as soon as one is."""
    if "unknown" in costs:
        return "unknown"
    total = sum((Decimal(cost) for cost in costs), Decimal(0))
    return f"{total:f}".rstrip("0").rstrip(".") if "." in f"{total:f}" else f"{total:f}"


class MadeBy(Frozen):
    """Who made a record, and what it cost."""

    author: Literal["agent", "person", "rules", "sandbox"]
    model: Line
    """A model id, or `rules`, or `human`."""
    tokens: Tokens = Tokens()
    cost_usd: CostUsd = "0"
    calls: Annotated[int, Field(ge=0)] = 0
    seconds: Annotated[int, Field(ge=0)] = 0
    """As in `Spend`. With what calls took since the last record of a model that brought no record."""
    exchanges: list[FileRef] = []

    @property
    def spent(self) -> Spend:
        return Spend(tokens=self.tokens, cost_usd=self.cost_usd, calls=self.calls, seconds=self.seconds)


RULES = MadeBy(author="rules", model="rules")
HUMAN = MadeBy(author="person", model="human")
SANDBOX = MadeBy(author="sandbox", model="rules")


Severity = Literal["info", "warn", "block"]


class Finding(Frozen):
    """What a check says about a record. `block` cannot be passed without a person's reason."""

    check: Name
    """The rule's name, e.g. `plan.no-control`."""
    severity: Severity
    record: Kind
    """The kind of record the rule read."""
    explanation: Line
    evidence: Text = ""


# --------------------------------------------------------------------- bodies


class Body(Frozen):
    """The content of a record. Subclasses name their kind."""

    kind: ClassVar[Kind]

    def headline(self) -> str:
        """What follows `kind: ` in the commit's subject; at most about 60 characters."""
        raise NotImplementedError

    def diary(self) -> str:
        """The commit's paragraph: what changed and why. May be empty."""
        return ""

    def files(self) -> list[FileRef]:
        """Files committed beside the record, which it vouches for."""
        return []


KEY_TYPES = (
    "ssh-ed25519",
    "sk-ssh-ed25519@openssh.com",
    "ecdsa-sha2-nistp256",
    "ecdsa-sha2-nistp384",
    "ecdsa-sha2-nistp521",
    "sk-ecdsa-sha2-nistp256@openssh.com",
    "ssh-rsa",
)
"""Public keys a reviewer may sign with. Certificates are not among them: nothing here asks an authority."""
Fingerprint = Annotated[str, Field(pattern=r"^SHA256:[A-Za-z0-9+/]{43}$")]


class RegisteredReviewer(Frozen):
    """A person whose decisions count only with this key's signature."""

    name: Line
    email: Annotated[str, Field(min_length=1, max_length=254, pattern=r"^[^\r\n<>]*$")]
    key: Annotated[str, Field(max_length=4000)]
    """As in an OpenSSH .pub file, without the comment: `ssh-ed25519 AAAA…`."""

    @field_validator("key")
    @classmethod
    def _is_public_key(cls, key: str) -> str:
        kind, _, data = key.partition(" ")
        if kind not in KEY_TYPES:
            raise ValueError(f"must be an OpenSSH public key: one of {', '.join(KEY_TYPES)}, then its base64")
        try:
            blob = base64.b64decode(data, validate=True)
        except (binascii.Error, ValueError) as error:
            raise ValueError("must be an OpenSSH public key, and its base64 is broken") from error
        if not blob.startswith(len(kind).to_bytes(4, "big") + kind.encode()):
            raise ValueError(f"says {kind}, but its bytes are another kind of key")
        if base64.b64encode(blob).decode() != data:
            raise ValueError("must be an OpenSSH public key in its usual base64")
        return key

    @property
    def person(self) -> Person:
        return Person(name=self.name, email=self.email)

    @property
    def fingerprint(self) -> str:
        """As `ssh-keygen -l` prints it."""
        blob = base64.b64decode(self.key.partition(" ")[2])
        return f"SHA256:{base64.b64encode(hashlib.sha256(blob).digest()).decode().rstrip('=')}"


def _as_decimal(value: object) -> object:
    """TOML may say 5, 5.50 or "5.50"."""
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return f"{Decimal(str(value)):f}" if number else value


Usd = Annotated[str, BeforeValidator(_as_decimal), Field(pattern=r"^\d{1,9}(\.\d{1,9})?$")]
UsdCap = Annotated[str, BeforeValidator(_as_decimal), Field(pattern=r"^(none|\d{1,9}(\.\d{1,9})?)$")]
Cap = Annotated[int, Field(ge=0, le=10**12)] | Literal["none"]
"""A bound, or `none`."""


def _without_version(address: str) -> str:
    if address.rstrip("/").endswith("/v1"):
        raise ValueError("a base_url has no /v1 at its end: the client adds it")
    return address


BaseUrl = Annotated[
    str, Field(max_length=500, pattern=r"^(https?://[^\s@]+)?$"), AfterValidator(_without_version)
]


class Price(Frozen):
    """USD per million tokens."""

    input: Usd
    cached: Usd
    """Read from the prompt cache."""
    written: Usd
    """Written to it."""
    output: Usd


Headers = dict[Annotated[str, Field(pattern=r"^[A-Za-z0-9-]{1,100}$")], Line]
Effort = Literal["", "low", "medium", "high", "xhigh", "max"]
Thinking = Literal["", "adaptive", "disabled"]
Enforcement = Literal["", "always", "in-repair"]
Variables = list[Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,99}$")]]


class ModelChoice(Frozen):
    """Who writes a step, and how they are asked."""

    use: Line = "none"
    """`none`, `anthropic:<model>` or `command:<program and arguments>`."""
    base_url: BaseUrl = ""
    """A server of the same protocol; empty for the provider's own."""
    headers: Headers = {}
    """Sent with every request, e.g. a gateway's. `$NAME` stands for an environment variable: no secret
    belongs into a file that is committed."""
    effort: Effort = ""
    """Empty: the server's own."""
    thinking: Thinking = ""
    enforce_schema: Enforcement = ""
    """When the reply's schema goes out as a constraint, besides standing in the prompt. The provider is said
    to count it into the cached prefix, and steps differ in it. Empty: in a repair at the provider's own
    server, always at any other."""
    price: Price | None = None
    """Instead of the price that ships with the package."""
    environment: Variables = []
    """`command:` only: variables the command is given beyond the ordinary ones, e.g. the name of its key."""


class StepModel(Frozen):
    """What is different for one step. None: as for every step."""

    use: Line | None = None
    base_url: BaseUrl | None = None
    headers: Headers | None = None
    effort: Effort | None = None
    thinking: Thinking | None = None
    enforce_schema: Enforcement | None = None
    price: Price | None = None
    environment: Variables | None = None

    def over(self, default: ModelChoice) -> ModelChoice:
        """A price belongs to its model and headers to their server: neither goes over to another."""
        own = {name: value for name in StepModel.model_fields if (value := getattr(self, name)) is not None}
        if own.get("use", default.use) != default.use:
            own = {"price": None, **own}
        if own.get("base_url", default.base_url) != default.base_url:
            own = {"headers": {}, **own}
        return default.model_copy(update=own)


class Caps(Frozen):
    usd: UsdCap = "none"
    tokens: Cap = "none"
    """Input, cached input and output together."""
    calls: Cap = "none"
    seconds: Cap = "none"
    """Spent waiting for models."""


class CallCaps(Frozen):
    """Of one question's one request, its tries included."""

    seconds: Annotated[int, Field(ge=1, le=24 * 3600)] = 1200
    output_tokens: Annotated[int, Field(ge=1, le=1_000_000)] = 16_000


class Budget(Frozen):
    """What models may take. Reserved before each call."""

    project: Caps = Caps(tokens=5_000_000, calls=500, seconds=8 * 3600)
    cycle: Caps = Caps()
    """Of one cycle."""
    call: CallCaps = CallCaps()


class Settings(Frozen):
    """What stands in `autoresearch.toml`, validated. No secrets, ever."""

    model: ModelChoice = ModelChoice()
    """Of every step that has a prompt."""
    models: dict[Name, StepModel] = {}
    """By step; in the file each is a table below `[model]`."""
    budget: Budget = Budget()
    isolation: Literal["docker", "gvisor", "bubblewrap"] = "docker"
    max_attempts: Annotated[int, Field(ge=1, le=100)] = 8
    """Attempts per cycle."""
    max_cycles: Annotated[int, Field(ge=1, le=100)] = 5
    artifact_limit_mb: Annotated[float, Field(gt=0, le=90)] = 5
    """Files above this are kept by digest, outside the commits."""
    reviewers: Annotated[list[RegisteredReviewer], Field(max_length=50)] = []
    """Where any stand, decisions and settings count only if signed by one of them."""

    @model_validator(mode="after")
    def _keys_differ(self) -> "Settings":
        require_unique([reviewer.key for reviewer in self.reviewers], "reviewers' keys")
        return self

    @property
    def who_writes(self) -> str:
        """`none`, or the models by name: `anthropic:a; critique by anthropic:b`."""
        others = [
            f"{step} by {use}" for step in self.models if (use := self.model_of(step).use) != self.model.use
        ]
        return "; ".join([self.model.use, *others])

    def model_of(self, step: str, in_workflow: str | None = None) -> ModelChoice:
        """The step's own table comes first, then what the workflow names, then the default."""
        own = self.models.get(step, StepModel())
        if own.use is None and in_workflow is not None:
            own = own.model_copy(update={"use": in_workflow})
        return own.over(self.model)


class WorkflowRef(Frozen):
    name: Name
    sha256: Digest
    """Of the files below, as `path → sha256`."""
    files: dict[str, Digest]


class Tool(Frozen):
    version: Line
    lock_sha256: Digest


class Proposal(Body):
    """The person's file, verbatim, with the settings in force."""

    kind: ClassVar[Kind] = "proposal"

    project: ProjectId
    """Random id of the project, drawn at `start`."""
    title: Line
    text: Annotated[str, Field(min_length=1, max_length=1_000_000)]
    text_sha256: Digest
    author: Person
    settings: Settings
    workflow: WorkflowRef
    tool: Tool
    example: Name | None = None
    """Made by `demo` from this shipped example."""
    demonstration: bool = False
    """Made by `demo` without a terminal: no person decided anything in it."""
    environment: Environment | None = None
    """What the experiment section names, as it was when the proposal was taken in."""
    inputs: list[DataInput] = []
    sources: Annotated[list[Source], Field(max_length=500)] = []

    @model_validator(mode="after")
    def _sources_differ(self) -> "Proposal":
        require_unique([source.id for source in self.sources], "ids of sources")
        return self

    def files(self) -> list[FileRef]:
        lock = [self.environment.lock] if self.environment and self.environment.lock else []
        return [*lock, *(source.text for source in self.sources if source.text)]

    def headline(self) -> str:
        return clip(self.title, 60)

    def diary(self) -> str:
        who = "A demonstration: no person decides in it." if self.demonstration else ""
        return f"The proposal as written by {self.author.name}, {len(self.text)} characters. {who}"


class Hypothesis(Frozen):
    id: Name
    statement: Line
    expects: list[Outcome]
    """Outcomes of the primary contrast that it predicts."""
    refuted_by: list[Outcome]
    """Outcomes that would refute it. Empty: nothing could."""
    prior: Probability = 0.5
    """Belief in it before the run; frozen with the plan."""


class Idea(Hypothesis):
    """A candidate approach or rival hypothesis."""

    cites: Cites = []


class Unproposed(Frozen):
    """What any study has to reckon with and nobody proposed: it is in no plan, and nobody's belief in it is known."""

    id: Name
    statement: Line
    expects: list[Outcome]
    refuted_by: list[Outcome]


class Ideas(Body):
    kind: ClassVar[Kind] = "ideas"

    question: Line
    candidates: Annotated[list[Idea], Field(min_length=1, max_length=20)]
    unproposed: Annotated[list[Unproposed], Field(max_length=3)] = []
    """Named by rule where fewer than three candidates were proposed; none of them is taken up."""
    chosen: Name
    why: Text
    why_not: dict[Name, Text]
    """For every candidate that was not chosen."""

    @model_validator(mode="after")
    def _complete(self) -> "Ideas":
        ids = [idea.id for idea in self.candidates]
        if len(ids) + len(self.unproposed) < 3:
            raise ValueError("fewer than three candidates")
        require_unique([*ids, *(idea.id for idea in self.unproposed)], "candidate ids")
        if self.chosen not in ids:
            raise ValueError(f"chosen is {self.chosen!r}, which is not a candidate")
        missing = set(ids) - {self.chosen} - set(self.why_not)
        if missing:
            raise ValueError(f"why_not lacks {', '.join(sorted(missing))}")
        return self

    def headline(self) -> str:
        more = f", {len(self.unproposed)} more not proposed" if self.unproposed else ""
        return f"{count(len(self.candidates), 'candidate')}, {self.chosen} chosen{more}"

    def diary(self) -> str:
        return f"{self.question}\n{self.why}"


class Assumption(Frozen):
    id: Name
    statement: Line
    status: Literal["tested", "accepted", "open"]
    breaks_if: Line


class Objection(Frozen):
    id: Name
    objection: Line
    answer: Text = ""
    cites: Cites = []


LEAST_REACH = 1.2
"""A proxy that shifts the odds on its target by less, at best, may not be worth running."""


class ProxyCard(Frozen):
    """What the experiment stands in for, and how badly.

    `ceiling` bounds the likelihood ratio that a proxy which shows the effect can
    carry about the target, however much data there is (weak-proxy arithmetic: a / b).
    `belief.ratio_bounds` has the bound for a proxy that does not show it, too.
    """

    target: Line
    proxy: Line
    dynamic: Line
    """What the two are thought to share."""
    disanalogies: list[Line]
    p_given_target: Annotated[float, Field(gt=0, lt=1)]
    """a = P(proxy shows the effect | the claim holds of the target)."""
    p_given_not: Annotated[float, Field(gt=0, lt=1)]
    """b = P(proxy shows the effect | the claim does not hold of the target)."""
    prior: Probability = 0.5
    """Belief in the claim about the target before the run; frozen here."""
    reference_class: Line = "none named"
    """What the prior was taken from: of which earlier transfers how many held."""

    @property
    def ceiling(self) -> float:
        return max(self.p_given_target / self.p_given_not, self.p_given_not / self.p_given_target)

    @property
    def ceiling_of_absence(self) -> float:
        """The same for a proxy that clearly does not show the effect."""
        a, b = 1 - self.p_given_target, 1 - self.p_given_not
        return max(a / b, b / a)


class Critique(Body):
    kind: ClassVar[Kind] = "critique"

    assumptions: Annotated[list[Assumption], Field(max_length=100)]
    objections: Annotated[list[Objection], Field(max_length=100)] = []
    proxy: ProxyCard | None = None
    """None: the author states no figures, so no claim may reach beyond the proxy."""
    findings: list[Finding] = []

    def headline(self) -> str:
        still_open = sum(item.status == "open" for item in self.assumptions)
        return f"{count(len(self.assumptions), 'assumption')}, {still_open} open"

    def diary(self) -> str:
        return "\n".join(f"- {f.severity}: {f.explanation}" for f in self.findings)


class Arm(Frozen):
    name: Name
    description: Line
    x: float | None = None
    """Place on the axis of an ordered contrast (`slope`)."""


Formula = Literal[
    "mean", "accuracy", "brier", "auc", "ece", "rmse", "quantile", "argmax", "slope", "reported"
]


class MetricCard(Frozen):
    """How one number per trial is computed from the arrays that the trial returned."""

    name: Name
    formula: Formula
    arrays: dict[Name, Name]
    """Role → name in what `run_trial` returned. Roles by formula: mean `x`; accuracy
    `prediction, label`; brier `probability, label`; auc `score, label`; ece `confidence,
    correct`; rmse `prediction, target`; quantile `x`; argmax `y` and optional `x`; slope
    `x, y`; reported `x` (a number the code states of itself)."""
    q: Annotated[float, Field(gt=0, lt=1)] | None = None
    """For `quantile` only."""
    unit: Line = "1"
    low: float | None = None
    """Least possible value, where there is one."""
    high: float | None = None
    better: Literal["higher", "lower", "neither"] = "neither"
    how_gamed: Line
    """How the number could improve without the thing it stands for improving."""

    @model_validator(mode="after")
    def _roles(self) -> "MetricCard":
        needed, optional = METRIC_ROLES[self.formula]
        given = set(self.arrays)
        if not needed <= given <= needed | optional:
            raise ValueError(
                f"formula {self.formula} takes arrays {', '.join(sorted(needed))}"
                f"{' and optionally ' + ', '.join(sorted(optional)) if optional else ''}"
            )
        if (self.q is not None) != (self.formula == "quantile"):
            raise ValueError("q belongs to formula quantile, and only to it")
        return self


METRIC_ROLES: dict[str, tuple[set[str], set[str]]] = {
    "mean": ({"x"}, set()),
    "accuracy": ({"prediction", "label"}, set()),
    "brier": ({"probability", "label"}, set()),
    "auc": ({"score", "label"}, set()),
    "ece": ({"confidence", "correct"}, set()),
    "rmse": ({"prediction", "target"}, set()),
    "quantile": ({"x"}, set()),
    "argmax": ({"y"}, {"x"}),
    "slope": ({"x", "y"}, set()),
    "reported": ({"x"}, set()),
}


class Contrast(Frozen):
    """The one comparison that decides.

    paired: mean over seeds of treatment − control; unpaired: difference of means;
    ratio: ratio of means; slope: change of the metric per unit of `Arm.x`, fitted
    per seed over all arms.
    """

    form: Literal["paired", "unpaired", "ratio", "slope"]
    treatment: Name | None = None
    control: Name | None = None
    null: float = 0.0
    """The value that means no effect: 0, or 1 for a ratio."""
    smallest_effect: Annotated[float, Field(gt=0)]
    """Smallest effect of interest, in the contrast's unit, as a distance from `null`."""

    @model_validator(mode="after")
    def _arms_named(self) -> "Contrast":
        names_two = self.treatment is not None and self.control is not None
        if (self.form == "slope") == names_two:
            raise ValueError("slope runs over all arms; the other contrasts name treatment and control")
        if self.form == "ratio" and self.null != 1.0:
            raise ValueError("the null of a ratio is 1")
        return self


class ResourceLimits(Frozen):
    """What one run may use. Enforced from outside; all but `seconds` is for each worker."""

    workers: Annotated[int, Field(ge=1, le=64)] = 1
    """Containers that share the trials, seed by seed."""
    seconds: Annotated[int, Field(ge=1, le=30 * 24 * 3600)] = 300
    memory_mb: Annotated[int, Field(ge=64, le=1_000_000)] = 1024
    cpus: Annotated[float, Field(gt=0, le=512)] = 2
    processes: Annotated[int, Field(ge=8, le=4096)] = 128
    output_mb: Annotated[int, Field(ge=1, le=100_000)] = 64
    gpus: Annotated[int, Field(ge=0, le=64)] = 0
    """Whole NVIDIA devices, handed in by the engine."""

    def shared_by(self) -> str:
        """What to say behind the limits of one worker; nothing where there is only one."""
        if self.workers == 1:
            return ""
        return (
            f", for each of {self.workers} workers: in all {self.memory_mb * self.workers} MB memory, "
            f"{count(self.cpus * self.workers, 'CPU')}"
        )


class SecondaryContrast(Contrast):
    """A further comparison. Its p value is corrected for how many there are (Holm), and it decides nothing."""

    id: Name


COMMAND_SKIPS = (
    "the contract of run_trial and make_data",
    "data made apart from the treatment",
    "seeding of Python's and numpy's generators",
    "the rules on code in any language but Python",
)
"""Checks that do not apply where a plan runs a command instead of `run_trial`."""


class Decision(Frozen):
    """One row of the decision table."""

    outcome: Outcome
    conclusion: Line
    supports: list[Name] = []
    """Hypothesis ids."""
    refutes: list[Name] = []

    @property
    def unworded(self) -> bool:
        """The author gave it no words of their own."""
        return self.conclusion == plain_conclusion(self.supports, self.refutes)

    def says_of(self, hypothesis: Hypothesis) -> str:
        """What the row means for a hypothesis, in the author's words: its conclusion's, else the hypothesis's."""
        supported, refuted = hypothesis.id in self.supports, hypothesis.id in self.refutes
        told = "supported" if supported else "refuted" if refuted else "left open"
        said = hypothesis.statement if self.unworded else self.conclusion
        return clip(f"{hypothesis.id} is {told} here ({self.outcome}): {said}", 500)


def plain_conclusion(supports: list[Name], refutes: list[Name]) -> str:
    """Of a row that follows from what the hypotheses expect."""
    parts = [f"supports {', '.join(supports)}"] * bool(supports)
    parts += [f"refutes {', '.join(refutes)}"] * bool(refutes)
    return clip("; ".join(parts) or "decides nothing", 500)


class ControlCheck(Frozen):
    """A control that the run itself shows: where the mean of an arm, or of a difference, has to lie."""

    role: Literal["positive", "negative"]
    arm: Name
    minus: Name | None = None
    """Another arm, whose mean is taken away."""
    arrays: dict[Name, Name] = {}
    """Read from these arrays of its trials, by role; empty: from the metric's own."""
    low: float | None = None
    high: float | None = None

    @model_validator(mode="after")
    def _bounded(self) -> "ControlCheck":
        if self.low is None and self.high is None:
            raise ValueError("a control that is run needs low, high or both: where its mean has to lie")
        if self.low is not None and self.high is not None and self.low > self.high:
            raise ValueError(f"low {self.low:g} is above high {self.high:g}")
        return self

    @property
    def of(self) -> str:
        """What is averaged: `median - mean, picked_stray/better`."""
        arms = f"{self.arm} - {self.minus}" if self.minus else self.arm
        return f"{arms}, {'/'.join(self.arrays.values())}" if self.arrays else arms

    @property
    def expected(self) -> str:
        """`at least 0.1`, `within [-0.05, 0.05]`."""
        if self.low is not None and self.high is not None:
            return f"within [{self.low:g}, {self.high:g}]"
        return f"at least {self.low:g}" if self.low is not None else f"at most {self.high:g}"


class Controls(Frozen):
    positive: Line
    """A case where the effect must appear, or `none: <why>`."""
    negative: Line
    """A case where it must not."""
    checks: Annotated[list[ControlCheck], Field(max_length=20)] = []
    """Those that the run itself shows."""


MaybeLine = Annotated[str, Field(max_length=500, pattern=r"^[^\r\n]*$")]


class Registration(Frozen):
    """What a preregistration says besides the design. Empty: not said, which is a finding."""

    prior_data: MaybeLine = ""
    """What of the results, a pilot or the same data has been seen before."""
    population: MaybeLine = ""
    """What the trials are a sample of."""
    size_reason: MaybeLine = ""
    """Why this many trials."""
    tuning: MaybeLine = ""
    """What was tried or tuned, for each arm, and with how much compute."""
    exploratory: MaybeLine = ""
    """What else will be looked at, without counting as a test."""


class PlanDraft(Body):
    """A plan before its files are hashed: what an author writes."""

    kind: ClassVar[Kind] = "plan"

    question: Line
    hypotheses: Annotated[list[Hypothesis], Field(min_length=1, max_length=20)]
    arms: Annotated[list[Arm], Field(min_length=2, max_length=50)]
    metric: MetricCard
    contrast: Contrast
    trials_per_arm: Annotated[int, Field(ge=1, le=100_000)]
    stopping_rule: Line
    exclusions: Line
    controls: Controls
    decision_table: list[Decision]
    secondary: Annotated[list[SecondaryContrast], Field(max_length=20)] = []
    expected_sd: Annotated[float, Field(gt=0)] | None = None
    """Standard deviation of the contrast from seed to seed, where a pilot or earlier work gives one."""
    registration: Registration = Registration()
    config: dict[str, JsonValue] = {}
    """Passed to every trial."""
    limits: ResourceLimits = ResourceLimits()
    command: Annotated[list[Line], Field(max_length=100)] = []
    """The program and its arguments, run once a trial; empty: `run_trial` of `experiment.py` is called."""

    @property
    def comparison(self) -> Digest:
        """What makes a second run another look at the same question, whatever else was touched."""
        return digest_of(self.model_dump(mode="json", include={"metric", "contrast", "arms"}))

    @model_validator(mode="after")
    def _consistent(self) -> "PlanDraft":
        arms = [arm.name for arm in self.arms]
        require_unique(arms, "arm names")
        require_unique([h.id for h in self.hypotheses], "hypothesis ids")
        require_unique([row.outcome for row in self.decision_table], "decision table outcomes")
        require_unique([contrast.id for contrast in self.secondary], "secondary contrast ids")
        for contrast in (self.contrast, *self.secondary):
            for name in (contrast.treatment, contrast.control):
                if name is not None and name not in arms:
                    raise ValueError(f"the contrast names {name!r}, which is not an arm")
            if contrast.form == "slope" and any(arm.x is None for arm in self.arms):
                raise ValueError("a slope contrast needs x on every arm")
        self._controls_fit(arms)
        known = {h.id for h in self.hypotheses}
        for row in self.decision_table:
            unknown = (set(row.supports) | set(row.refutes)) - known
            if unknown:
                raise ValueError(f"the decision table names unknown {', '.join(sorted(unknown))}")
        return self

    def _controls_fit(self, arms: list[str]) -> None:
        for control in self.controls.checks:
            for name in (control.arm, control.minus):
                if name is not None and name not in arms:
                    raise ValueError(f"the {control.role} control names {name!r}, which is not an arm")
            if control.arrays:
                # With the metric's own formula, so with its roles.
                self.metric.model_validate({**self.metric.model_dump(), "arrays": control.arrays})

    @property
    def highest_grade(self) -> "Grade":
        """E2 for a toy proxy; E1 where the numbers rest on the code's own word, or nothing reads the code."""
        return "E1" if self.metric.formula == "reported" or self.command else "E2"


class Plan(PlanDraft):
    """The preregistration: frozen by its digest, files included."""

    experiment: Annotated[list[FileRef], Field(min_length=1, max_length=200)]
    """Paths below the attempt's directory, i.e. starting with `experiment/`."""
    environment: Environment | None = None
    """None: the sandbox's own image."""
    inputs: list[DataInput] = []

    @model_validator(mode="after")
    def _runnable(self) -> "Plan":
        if not self.command and "experiment/experiment.py" not in {ref.path for ref in self.experiment}:
            raise ValueError("experiment/experiment.py is missing")
        return self

    def headline(self) -> str:
        c = self.contrast
        what = f"{c.treatment} vs {c.control}" if c.treatment else f"{len(self.arms)} arms"
        return f"{self.metric.name}, {what}, {count(self.trials_per_arm, 'trial')} an arm"

    def diary(self) -> str:
        return "\n".join(f"{h.id}: {h.statement}" for h in self.hypotheses)

    def files(self) -> list[FileRef]:
        lock = self.environment.lock if self.environment else None
        return [*self.experiment, *([lock] if lock else [])]


class BaseRate(Frozen):
    """How often such a thing has happened, whatever is special about this case."""

    p: Probability
    of: Line
    """The reference class: of which cases, counted where."""


class Forecast(Frozen):
    """What somebody expects, before any result exists."""

    id: Name
    forecaster: Line
    """`agent`, `human:<name>`, `example:<name>` for what a shipped example predicts, or
    `reference:<from what>` for what anybody could have said without looking into the matter."""
    shape: Literal["binary", "quantile", "categorical"]
    about: Line
    """`contrast`, `metric:<arm>`, `outcome`, or for binary `contrast > 0.1`."""
    p: Probability | None = None
    quantiles: tuple[float, float, float] | None = None
    """10, 50 and 90 %."""
    categories: dict[Outcome, Probability] | None = None
    primary: bool = False
    """Drives the surprise check."""
    best_guess: Annotated[str, Field(max_length=500, pattern=r"^[^\r\n]*$")] = ""
    """What will be seen, said boldly; how sure one is of it stands in the numbers."""
    base_rate: BaseRate | None = None
    """Binary only."""
    reasoning: Text = ""

    @model_validator(mode="after")
    def _whole(self) -> "Forecast":
        given = {"binary": self.p, "quantile": self.quantiles, "categorical": self.categories}
        if given.pop(self.shape) is None or any(v is not None for v in given.values()):
            raise ValueError(f"a {self.shape} forecast has its own field and no other")
        if self.quantiles and not self.quantiles[0] < self.quantiles[1] < self.quantiles[2]:
            raise ValueError("the 10, 50 and 90 % quantiles must increase")
        if self.categories is not None and (
            set(self.categories) != set(OUTCOMES) or abs(sum(self.categories.values()) - 1) > 1e-9
        ):
            raise ValueError(f"give every one of {', '.join(OUTCOMES)}, summing to 1")
        if self.base_rate is not None and self.shape != "binary":
            raise ValueError("base_rate goes with p, and only with it")
        return self


class Prediction(Body):
    kind: ClassVar[Kind] = "prediction"

    forecasts: Annotated[list[Forecast], Field(min_length=1, max_length=50)]
    references: Annotated[list[Forecast], Field(max_length=60)] = []
    """By rule, of the same quantities: what the others' scores are compared with."""
    carried_from: Digest | None = None
    """An edit left metric, arms and contrast alone: the forecasts of this record stand."""
    after_results: list[int] = []
    """Attempts of the cycle whose results were on record when these were made."""
    known_elsewhere: list[Line] = []
    """Results that the project this one was forked from had by then, by their place."""

    @model_validator(mode="after")
    def _one_primary(self) -> "Prediction":
        require_unique([f.id for f in (*self.forecasts, *self.references)], "forecast ids")
        if sum(f.primary for f in self.forecasts) != 1:
            raise ValueError("exactly one forecast is the primary one")
        return self

    def headline(self) -> str:
        return f"{count(len(self.forecasts), 'forecast')}, {self.made_when}"

    @property
    def made_when(self) -> str:
        """`before any result`, or after which."""
        here = [f"attempt {', '.join(map(str, self.after_results))}"] if self.after_results else []
        seen = [*here, *self.known_elsewhere]
        return f"after seeing the result of {', and of '.join(seen)}" if seen else "before any result"


class Preflight(Body):
    kind: ClassVar[Kind] = "preflight"

    findings: list[Finding]
    rules: list[Name]
    """Every rule that was run, those that found nothing included."""

    def headline(self) -> str:
        return findings_line(self.findings)

    def diary(self) -> str:
        return "\n".join(f"- {f.severity}: {f.explanation}" for f in self.findings)


class Rechecks(Frozen):
    """What may run again under the same approval, from `check` or `replay --experiments`."""

    repeated_trials: Annotated[int, Field(ge=0, le=20)] = 2
    fresh_seeds: Annotated[int, Field(ge=0, le=20)] = 1


Tier = Literal["docker", "gvisor", "bubblewrap", "none: shipped code only"]
WEAKER = (
    "isolation: bubblewrap, weaker than a container: the code could read this machine's programs and libraries, "
    "there was no image, and the run would have died with its supervisor"
)
NO_TIER: Tier = "none: shipped code only"


class Isolation(Frozen):
    """What stands between the experiment's code and the machine."""

    tier: Tier
    image: Line
    """Full image ID, or `-` where there is none."""
    policy_sha256: Digest
    """Of the canonical policy: flags, seccomp profile, mounts."""
    harness_sha256: Digest
    """Of the bytes of `sandbox/harness.py` that run inside."""
    engine: Line
    """Name and version, for the record; not enforced."""


class ProbeRow(Frozen):
    """One thing that the isolation must not let happen, tried."""

    name: Name
    expected: Line
    found: Line
    ok: bool


class Probe(Frozen):
    """What trying the isolation found, on the machine that the run is about to use."""

    tier: Tier
    engine: Line
    architecture: Line
    image: Line
    policy_sha256: Digest
    script_sha256: Digest
    """Of `sandbox/probe.py`, which ran inside."""
    untested: list[Line] = []
    """What of this machine no test of ours ever ran on."""
    rows: list[ProbeRow]


class Bundle(Frozen):
    """Exactly what a person approves. Its digest is what they type, and what the door checks."""

    gate: Name
    project: str
    cycle: int
    attempt: int
    ledger_head: Annotated[str, Field(pattern=r"^[0-9a-f]{40}$")]
    """The commit that the approval is to follow."""
    plan: Digest
    prediction: Digest
    preflight: Digest
    files: dict[str, Digest]
    """Path in the sandbox → SHA-256 of the bytes sent."""
    isolation: Isolation
    limits: ResourceLimits
    inputs: dict[Name, Digest] = {}
    """Name of the data below `/data` → digest of its files."""
    rechecks: Rechecks = Rechecks()


class Reviewer(Frozen):
    person: Person
    is_person: bool = True
    """False for the demonstration script."""
    key: Fingerprint | None = None
    """Of the registered key that signs the commit; None where none is registered."""


class Attention(Frozen):
    """What the gate saw of its reader."""

    opened_at: datetime
    decided_at: datetime
    sections_opened: list[Line] = []
    sections_read: list[Line] = []
    """Those of them of which every line was shown."""
    earlier_seconds: Annotated[float, Field(ge=0)] = 0.0
    """Of openings of the same screen that were left; the sections of those are counted above."""

    @property
    def seconds(self) -> float:
        return self.earlier_seconds + (self.decided_at - self.opened_at).total_seconds()


HASTY_SECONDS = 30
"""Faster than this nobody has weighed what a gate shows without opening any of it."""


ApproveDecision = Literal["approve", "reject", "revise", "edit", "terminate"]
AcceptDecision = Literal["accept", "revise", "redo", "reject", "follow-up"]


TryOutcome = Literal["ran", "crashed", "timed out", "out of memory", "interrupted"]
MOST_TRIES = 5
"""At one gate: each is one more look at the code before the decision."""


class Tryout(Frozen):
    """One trial an arm on a throwaway seed, before the decision: whether it ran, and no value of it.

    Time and memory are rounded: to the last digit they could carry a result.
    """

    started_at: datetime
    outcome: TryOutcome = "interrupted"
    """`interrupted`: it began, and nobody was there to see its end."""
    seconds: Annotated[float, Field(ge=0)] | None = None
    peak_memory_mb: Annotated[int, Field(ge=0)] | None = None
    crash: Annotated[str, Field(max_length=4000)] = ""
    """The end of the traceback. A log of code that ran could print its result, so none is kept."""

    @model_validator(mode="after")
    def _no_log_but_a_crash(self) -> "Tryout":
        if self.crash and self.outcome != "crashed":
            raise ValueError("only a try that crashed keeps a log")
        return self


class Approval(Body):
    """A person's decision before anything runs."""

    kind: ClassVar[Kind] = "approval"

    decision: ApproveDecision
    reviewer: Reviewer
    bundle: Bundle
    shown: Digest
    """Digest of `bundle`: what the reviewer confirmed by typing its first eight digits."""
    reason: Text = ""
    forecasts: list[Forecast] = []
    forecasts_skipped: bool = False
    """Asked and skipped; False with no forecasts: not asked."""
    attention: Attention
    edited: PlanDraft | None = None
    """With `edit`: the plan as the person changed it."""
    edited_files: list[FileRef] = []
    """With `edit`: the experiment's files as the person changed them, below `edited/`."""
    tries: Annotated[list[Tryout], Field(max_length=MOST_TRIES)] = []
    """What the reviewer let run to see whether it runs, before deciding."""
    nonce: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")] | None = None
    """With `approve`: drawn once the digest was typed. The run's seeds follow from it and the plan, in every copy."""

    @model_validator(mode="after")
    def _due(self) -> "Approval":
        if self.decision in ("reject", "revise") and not self.reason.strip():
            raise ValueError(f"{self.decision} needs a reason")
        if (self.decision == "edit") != (self.edited is not None):
            raise ValueError("edit carries the edited plan, and only edit does")
        if (self.decision == "approve") != (self.nonce is not None):
            raise ValueError("approve carries the nonce that the seeds follow from, and only approve does")
        return self

    def headline(self) -> str:
        return f"{self.decision} by {clip(self.reviewer.person.name, 40)}"

    @property
    def unread(self) -> str:
        """That this was approved in haste with the code unopened; empty where it was not."""
        hasty = self.decision == "approve" and self.attention.seconds < HASTY_SECONDS
        if not self.reviewer.is_person or not hasty or "code" in self.attention.sections_opened:
            return ""
        return f"Approved after {self.attention.seconds:.0f} s without opening the code."

    def diary(self) -> str:
        outcomes = ", ".join(one.outcome for one in self.tries)
        tried = f"Tried before the decision: {outcomes}." if outcomes else ""
        return "\n".join(filter(None, [self.reason or f"Decided on {self.shown[:8]}.", tried, self.unread]))

    def files(self) -> list[FileRef]:
        return self.edited_files


class TrialSpec(Frozen):
    index: Annotated[int, Field(ge=0)]
    arm: Name
    seed: Annotated[int, Field(ge=0, lt=2**32)]


class Run(Body):
    """Consumes an approval. Committed before anything starts."""

    kind: ClassVar[Kind] = "run"

    approval: Digest
    trials: list[TrialSpec]
    """Their seeds follow from the approval's nonce and the plan."""
    run_id: Name
    """Names the containers."""
    host: Line
    probe: Probe | None
    """Made before the approval was consumed; None: there is no isolation to try."""

    def headline(self) -> str:
        return f"{count(len(self.trials), 'trial')} issued, approval consumed"


class HostFacts(Frozen):
    """Measured outside the sandbox. None: nobody was there to measure it."""

    exit_code: int | None
    wall_seconds: float | None
    cpu_seconds: float | None
    peak_memory_mb: float | None
    out_of_memory: bool | None
    timed_out: bool | None
    output_truncated: bool | None
    started_at: datetime | None
    ended_at: datetime | None


ResultStatus = Literal["Completed", "TimedOut", "OutOfMemory", "Crashed", "Lost"]


class Result(Body):
    """What came out: a completed run is one in which every issued trial ended well."""

    kind: ClassVar[Kind] = "result"

    status: ResultStatus
    why: Line
    run: Digest
    isolation: Isolation
    probe: Digest | None
    """Of the run's probe; None: there was none."""
    caveats: list[Line] = []
    """What a reader must know of the isolation."""
    facts: HostFacts
    trials_issued: int
    trials_completed: int
    trials: FileRef | None
    """`trials.jsonl`: one line a trial, as the harness wrote it."""
    artifacts: list[FileRef] = []
    log: FileRef | None = None
    """`log.txt`: head and tail of what the code printed."""
    log_truncated: bool = False
    refused: list[Line] = []
    """Outputs that were not taken, each with the reason."""
    workers_lost: Annotated[int, Field(ge=0)] = 0
    """Of how many workers nothing is left; the trials of the others count as ended."""

    def headline(self) -> str:
        wall = "" if self.facts.wall_seconds is None else f", {self.facts.wall_seconds:.0f} s"
        return f"{self.status}, {self.trials_completed} of {self.trials_issued} trials{wall}"

    def diary(self) -> str:
        return self.why

    def files(self) -> list[FileRef]:
        return [ref for ref in (self.trials, self.log) if ref] + self.artifacts


class ArmSummary(Frozen):
    arm: Name
    n: int
    mean: float
    sd: float | None
    """None for n = 1."""
    values: list[float]
    """One a trial, in order of seed index."""
    seconds: float | None = None
    """A trial's, on average, by the harness's own clock."""
    cpu_seconds: float | None = None
    """The same of its process, threads, and each descendant that was waited for; by the harness's word."""


class ContrastResult(Frozen):
    estimate: float
    low: float
    high: float
    level: float = 0.95
    method: Line
    """How the interval was made."""
    n: int
    per_seed: list[float] = []
    """Paired differences or slopes, where the contrast is made seed by seed."""
    p_permutation: float | None = None
    """Two-sided: how often chance alone, by swapping the arms' labels, comes as far from the null."""
    p_equivalence: float | None = None
    """The larger p of two one-sided t tests against null ± the smallest effect. None: no such test."""
    noise_floor: float | None = None
    """What comparing the noise with itself gives, 95 times in 100; no smaller effect is claimed."""
    outcome: Outcome


class SecondaryResult(ContrastResult):
    id: Name
    p_holm: float | None = None
    """Of all secondary contrasts together. None: its permutation test has no p."""


class ControlResult(Frozen):
    """What became of a control that the run itself shows."""

    control: ControlCheck
    n: int
    mean: float
    passed: bool


class Score(Frozen):
    """One score of one forecast; lower is better, natural logarithms."""

    forecast: Name
    forecaster: Line
    rule: Literal["brier", "log", "pinball10", "pinball50", "pinball90", "interval80", "wis3", "rps"]
    value: float
    observed: float
    """The value, or 0/1, or the index of the outcome in `OUTCOMES`."""


class Surprise(Frozen):
    """How far the primary forecast was off."""

    forecast: Name
    z: float | None = None
    p: float | None = None
    bits: float | None = None
    verdict: Literal["expected", "explain", "rerun"]
    """`explain` below p .10 (3.32 bits), `rerun` below p .025."""

    @property
    def needs_second_look(self) -> bool:
        return self.verdict == "rerun"


class RecheckTrial(Frozen):
    trial: TrialSpec
    fresh: bool
    """True: a seed that the run did not have."""
    same_bytes: bool | None
    """Raw values equal to the run's. None for a fresh seed."""
    same_data: bool | None = None
    """What `make_data` made has the digest that it had. None: fresh seed, or no digest on either side."""
    value: float | None
    """The metric, recomputed. None: the trial did not end."""


class MadeData(Frozen):
    """What `make_data` made for the run, by the harness's word. `trials.jsonl` has each trial's digest."""

    seeds: int
    """Those whose data have a digest."""
    different: int
    """Digests among them; 1 where every seed gets the same data."""
    sha256: Digest
    """Of the sorted list of those digests."""
    note: Line | None
    """Why the data of some seeds have none."""


class Deviation(Finding):
    """A departure from the plan."""

    known: Line
    """When it became known."""
    exploratory: bool = False
    """What rests on it was formed after a result had been seen, so it tests nothing."""


class Check(Body):
    kind: ClassVar[Kind] = "check"

    arms: list[ArmSummary]
    contrast: ContrastResult
    secondary: list[SecondaryResult] = []
    controls: list[ControlResult] = []
    scores: list[Score]
    surprise: Surprise
    data: MadeData | None = None
    """None: the experiment makes none."""
    rechecks: list[RecheckTrial] = []
    fresh_contrast: float | None = None
    """The primary contrast over the fresh seeds of the rechecks alone."""
    recheck_files: list[FileRef] = []
    """Raw outputs of the rechecks, below `rechecks/`."""
    deviations: list[Deviation] = []
    findings: list[Finding] = []

    def headline(self) -> str:
        c = self.contrast
        label = "exploratory: " if self.exploratory else ""
        return f"{label}{c.outcome}, {c.estimate:.3g} [{c.low:.3g}, {c.high:.3g}]"

    def diary(self) -> str:
        departed = f" {count(len(self.deviations), 'deviation')} from the plan." if self.deviations else ""
        return f"Primary forecast: {self.surprise.verdict}. {findings_line(self.findings)}.{departed}"

    @property
    def fresh_seed_ran(self) -> bool:
        """A trial on a seed that the run did not have ended well."""
        return any(recheck.fresh and recheck.value is not None for recheck in self.rechecks)

    @property
    def exploratory(self) -> bool:
        """True: the study tests nothing that was fixed before a result was seen."""
        return any(deviation.exploratory for deviation in self.deviations)

    def files(self) -> list[FileRef]:
        return self.recheck_files


ClaimLevel = Literal["L1", "L2", "L3"]
"""L1 the numbers are correct; L2 it would be useful under the threat model; L3 its
assumptions hold there."""
Grade = Literal["E0", "E1", "E2", "E3", "E4"]
"""E4 real system, E3 same dynamic or near system, E2 toy proxy, E1 conceptual, E0 assertion."""


BeliefVerdict = Literal["supported", "weakened", "no update"]
SAME_BELIEF = 0.005
"""Beliefs nearer than this read as the same."""


class ClaimDraft(Frozen):
    """A claim as its author writes it."""

    id: Name
    statement: Line
    about: Literal["proxy", "target"]
    """A claim about the target is a sign or an order, never a number."""
    level: ClaimLevel
    scope: Line
    """The ranges that were tested."""
    hypotheses: list[Name] = []
    verdict: BeliefVerdict
    """What the result did to belief in the statement. `no update` is as good as the others."""
    p_before: Probability
    p_after: Probability
    change_our_mind: Line
    """An observable, with a threshold."""
    cites: Cites = []

    @model_validator(mode="after")
    def _verdict_fits(self) -> "ClaimDraft":
        moved = self.p_after - self.p_before
        fits = {"supported": moved > 0, "weakened": moved < 0, "no update": abs(moved) < SAME_BELIEF}
        if not fits[self.verdict]:
            raise ValueError(
                f"verdict {self.verdict} does not fit a belief that goes from {self.p_before:g} to {self.p_after:g}"
            )
        return self


class Claim(ClaimDraft):
    """With what is not for the author to say."""

    grade: Grade
    """Computed from plan and check, by `forecasting.evidence`."""
    replicated: bool = False
    """Another design of the project, in a cycle that was accepted, bore on its hypotheses the same way."""
    assumes: list[Name] = []
    """Assumptions that were open when the plan was made: the claim holds only if they do."""

    @property
    def evidence(self) -> str:
        """`E2`, or `E2+r` where it was replicated."""
        return f"{self.grade}+r" if self.replicated else self.grade

    @property
    def belief(self) -> str:
        if self.verdict == "no update":
            return f"no update from {self.p_after:.2f}"
        return f"belief {self.p_before:.2f} → {self.p_after:.2f}"

    @property
    def tested_for(self) -> str:
        """The scope, and what it rests on untested."""
        if not self.assumes:
            return self.scope
        return f"{self.scope.rstrip('.')}; rests on {', '.join(self.assumes)}, untested"


class Conclusion(Body):
    kind: ClassVar[Kind] = "conclusion"

    claims: Annotated[list[Claim], Field(min_length=1, max_length=50)]
    takeaway: Line
    """Qualitative: what this teaches about the target. No digits."""
    does_not_show: Annotated[list[Line], Field(min_length=1)]
    surprise_explained: Text = ""
    prose: Text = ""

    @model_validator(mode="after")
    def _ids(self) -> "Conclusion":
        require_unique([claim.id for claim in self.claims], "claim ids")
        return self

    def headline(self) -> str:
        return f"{count(len(self.claims), 'claim')}: {clip(self.takeaway, 44)}"

    def diary(self) -> str:
        return "\n".join(f"{c.id}: {c.statement} ({c.belief})" for c in self.claims)


class Monitoring(Body):
    kind: ClassVar[Kind] = "monitoring"

    findings: list[Finding]
    rules: list[Name]

    def headline(self) -> str:
        return findings_line(self.findings)

    def diary(self) -> str:
        return "\n".join(f"- {f.severity}: {f.explanation}" for f in self.findings)


ClaimVerdict = Literal["accept", "downgrade", "reject"]


class Subject(Frozen):
    """Exactly what a person accepts: the digests that the accept gate binds."""

    gate: Name
    project: str
    cycle: int
    attempt: int
    ledger_head: Annotated[str, Field(pattern=r"^[0-9a-f]{40}$")]
    result: Digest
    check: Digest
    conclusion: Digest
    monitoring: Digest


class Acceptance(Body):
    """A person's decision on the conclusions."""

    kind: ClassVar[Kind] = "acceptance"

    decision: AcceptDecision
    reviewer: Reviewer
    subject: Subject
    shown: Digest
    """Digest of `subject`."""
    second_look: bool = False
    """The result was so far from the forecast that the gate asked twice."""
    claims: dict[Name, ClaimVerdict]
    """Empty where the conclusion or the experiment is sent back: then nothing is accepted."""
    reason: Text = ""
    attention: Attention

    @model_validator(mode="after")
    def _due(self) -> "Acceptance":
        if self.sends_back and self.claims:
            raise ValueError(f"{self.decision} decides on no claim")
        if self.decision in ("revise", "redo", "reject") and not self.reason.strip():
            raise ValueError(f"{self.decision} needs a reason")
        if self.decision == "reject" and any(v != "reject" for v in self.claims.values()):
            raise ValueError("reject rejects every claim")
        return self

    @property
    def sends_back(self) -> bool:
        return self.decision in ("revise", "redo")

    @property
    def unread(self) -> str:
        """That claims were accepted in haste with no section opened; empty where they were not."""
        hasty = self.decision in ("accept", "follow-up") and self.attention.seconds < HASTY_SECONDS
        if not self.reviewer.is_person or not hasty or self.attention.sections_opened:
            return ""
        return f"Accepted after {self.attention.seconds:.0f} s without opening any section."

    def headline(self) -> str:
        kept = sum(verdict != "reject" for verdict in self.claims.values())
        claims = "nothing accepted" if self.sends_back else f"{kept} of {len(self.claims)} claims"
        return f"{self.decision} by {clip(self.reviewer.person.name, 30)}, {claims}"

    def diary(self) -> str:
        return "\n".join(filter(None, [self.reason or f"Decided on {self.shown[:8]}.", self.unread]))


class Report(Body):
    kind: ClassVar[Kind] = "report"

    title: Line
    pages: list[FileRef]
    """`report.md`, `report.html` and `figures/*`, below the cycle's directory."""
    covers: list[Digest]
    """Every record of the project up to here; none may be missing."""

    def headline(self) -> str:
        return f"{count(len(self.pages), 'file')}, {count(len(self.covers), 'record')} covered"

    def files(self) -> list[FileRef]:
        return self.pages


class Config(Body):
    """Settings changed by a person at a terminal."""

    kind: ClassVar[Kind] = "config"

    settings: Settings
    diff: Text
    reviewer: Reviewer

    def headline(self) -> str:
        return f"settings changed by {clip(self.reviewer.person.name, 40)}"

    def diary(self) -> str:
        return self.diff


class KnownResult(Frozen):
    """A run that ended in the project that was forked, after what a fork shares with it."""

    project: ProjectId
    cycle: Annotated[int, Field(ge=1)]
    attempt: Annotated[int, Field(ge=1)]
    result: Digest
    plan: Digest
    """Of the plan's body, which has the digests of the experiment's files."""
    comparison: Digest
    """`PlanDraft.comparison` of that plan."""
    completed: bool
    said: Line
    """The outcome with its interval; of a run without a result, how it ended."""

    @property
    def place(self) -> str:
        return f"attempt {self.attempt} of project {self.project[:8]}"


class Fork(Body):
    """A history that goes on apart from the project whose records it shares up to here."""

    kind: ClassVar[Kind] = "fork"

    project: ProjectId
    """Drawn for the fork. Decisions bind it, so none counts on both sides."""
    from_project: ProjectId
    from_commit: Annotated[str, Field(pattern=r"^[0-9a-f]{40}$")]
    """The last one that both have."""
    from_record: Digest
    """The last record that both have."""
    reviewer: Reviewer
    """Who forked; where keys are registered, their signature is needed."""
    reason: Text = ""
    settings: Settings
    """In force in the other project when this was forked, which may be later than what is shared."""
    workflow: WorkflowRef | None = None
    """Replaces the workflow from here on; None: it stays."""
    spent: dict[Annotated[int, Field(ge=1)], Spend] = {}
    """What models took there beyond the shared records, by cycle. It counts against the budget here, too."""
    unpriced: bool = False
    """Some of that had no known price, and is not in its cost."""
    known: list[KnownResult] = []
    """What had come out there when this was forked: whoever goes on here could have seen it."""

    def headline(self) -> str:
        replaced = ", another workflow" if self.workflow else ""
        return f"from {self.from_project[:8]} by {clip(self.reviewer.person.name, 30)}{replaced}"

    def diary(self) -> str:
        shared = (
            f"The history up to commit {self.from_commit[:12]} is shared with project {self.from_project}."
        )
        known = [f"Known there: {k.place}, {k.said}." for k in self.known]
        return "\n".join(filter(None, [self.reason, shared, "No approval given before counts here.", *known]))


APART: tuple[Kind, ...] = ("config", "fork")
"""Kinds of records that no step makes: where the work stands is told by the record before them."""


BODIES: dict[str, type[Body]] = {
    body.kind: body
    for body in (
        Proposal, Ideas, Critique, Plan, Prediction, Preflight, Approval, Run, Result,
        Check, Conclusion, Monitoring, Acceptance, Report, Config, Fork,
    )
}  # fmt: skip


# --------------------------------------------------------------------- record


class Record(Frozen):
    """One step's outcome: header and body. One commit each."""

    schema_: Annotated[Literal[1], Field(alias="schema")] = 1
    kind: Kind
    cycle: Annotated[int, Field(ge=1)]
    attempt: Annotated[int, Field(ge=1)]
    step: Name
    parent: Digest | None
    """The ledger's previous record."""
    inputs: dict[str, Digest]
    """What this was made from, by name. The same inputs give the same record."""
    made_by: MadeBy
    body: SerializeAsAny[Body]

    @model_validator(mode="before")
    @classmethod
    def _body_by_kind(cls, data: Any) -> Any:
        if isinstance(data, dict) and isinstance(data.get("body"), dict):
            body_type = BODIES.get(str(data.get("kind")))
            if body_type is None:
                raise ValueError(f"unknown kind {data.get('kind')!r}")
            return {**data, "body": body_type.model_validate(data["body"])}
        return data

    @model_validator(mode="after")
    def _kind_fits(self) -> "Record":
        if type(self.body) is not BODIES.get(self.kind):
            raise ValueError(f"a {self.kind} record cannot hold {type(self.body).__name__}")
        return self

    @property
    def digest(self) -> str:
        return digest_of(self)

    def to_bytes(self) -> bytes:
        """The readable JSON that is committed. One record has one rendering."""
        plain = self.model_dump(mode="json", by_alias=True)
        return (json.dumps(plain, indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode()


def parse_record(data: bytes, where: str) -> Record:
    """The record in `data`. Raises LedgerError naming `where` unless the bytes are its rendering."""
    try:
        record = Record.model_validate_json(data)
    except (ValidationError, RecursionError) as error:
        raise LedgerError(f"{where} is not a record: {first_problem(error)}") from error
    if record.to_bytes() != data:
        raise LedgerError(
            f"{where} was not written by this tool: its bytes are not the record's own rendering"
        )
    return record


B = TypeVar("B", bound=Body)


def body_as(record: Record, body_type: type[B]) -> B:
    """The body, typed. Raises LedgerError if the record is of another kind."""
    if not isinstance(record.body, body_type):
        raise LedgerError(f"expected a {body_type.__name__} in a {record.kind} record")
    return record.body


# -------------------------------------------------------------------- helpers


def require_unique(values: list[str] | list[Outcome], what: str) -> None:
    twice = sorted({v for v in values if list(values).count(v) > 1})
    if twice:
        raise ValueError(f"{what} stand twice: {', '.join(twice)}")


def first_problem(error: Exception) -> str:
    """The first problem of a validation error in one line, with the field's path."""
    if isinstance(error, ValidationError):
        problem = error.errors()[0]
        path = ".".join(str(part) for part in problem["loc"]) or "document"
        return f"{path}: {problem['msg'].removeprefix('Value error, ')}"
    return str(error).splitlines()[0] if str(error) else type(error).__name__


def count(n: float, noun: str) -> str:
    """`1 trial`, `2 trials`, `0.5 CPUs`."""
    number = f"{n:g}" if isinstance(n, float) else n
    return f"{number} {noun}{'' if n == 1 else 's'}"


def clip(text: str, width: int) -> str:
    line = " ".join(text.split())
    return line if len(line) <= width else line[: width - 1] + "…"


def findings_line(findings: list[Finding]) -> str:
    blocking = sum(f.severity == "block" for f in findings)
    return f"{count(len(findings), 'finding')}, {blocking} blocking"
