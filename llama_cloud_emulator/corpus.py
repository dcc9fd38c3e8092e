"""Made-up agents and runs: every part of a run is a function of the seed and the run's number."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from llama_cloud_emulator import misread
from llama_cloud_emulator.dice import Dice
from llama_cloud_emulator.documents import CORPORA, Kind, from_schema
from llama_cloud_emulator.metadata import Reading
from llama_cloud_emulator.schemas import Schema

Json = Any

NOW = datetime(2026, 11, 1, tzinfo=UTC)
"""The instant at which the emulator's clock starts; the corpus is older."""
SPAN = timedelta(days=170)
"""The time over which the runs of a corpus are spread, however many they are."""
AGENT_EDITED = NOW - timedelta(days=60)
"""When the agent with two schemas was edited; its older runs carry the older schema."""

PROJECT_ID = "6f1b0c52-8d1e-4c77-9a30-5a0f4be1c0de"
ORGANIZATION_ID = "0b7e3d8a-41c6-4f0e-b1d2-93c5a7e6f401"

_DEFAULT_CONFIG: dict[str, Json] = {
    "priority": None,
    "extraction_target": "PER_DOC",
    "extraction_mode": "PREMIUM",
    "parse_model": "anthropic-sonnet-4.5",
    "extract_model": "openai-gpt-5-mini",
    "multimodal_fast_mode": False,
    "system_prompt": None,
    "use_reasoning": False,
    "cite_sources": False,
    "citation_bbox": False,
    "confidence_scores": False,
    "chunk_mode": "PAGE",
    "high_resolution_mode": False,
    "invalidate_cache": False,
    "num_pages_context": None,
    "page_range": None,
}
_ERRORS = (
    "Failed to parse document: the PDF is encrypted",
    "Extraction timed out after 1800 s.\nThe document has 412 pages.",
    'Model returned invalid JSON: Expecting "," delimiter: line 1 column 8123 (char 8122)',
)
_EXTRACTED_AGAIN = {25: 30, 36: 30, 44: 20, 72: 60, 79: 10}
"""Of every hundred runs, these numbers extract a file again: that of the run which is so much older, so that both have
the same agent."""
_CONFIG_AGAIN = {"parse_model": "openai-gpt-5", "high_resolution_mode": True, "invalidate_cache": True}
_FINAL = ("SUCCESS", "ERROR", "PARTIAL_SUCCESS", "CANCELLED")


@dataclass(slots=True)
class Agent:
    """An agent as the API answers it, and what its runs are made of (`kind` is None for a schema a test made up)."""

    fields: dict[str, Json]
    kind: Kind | None


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything that decides what a run looks like; its content is only made when it is asked for."""

    seed: int
    index: int
    agent: Agent
    status: str
    created: datetime
    oddities: bool  # whether the run may have empty lists, missing keys, misfit values and the like
    first: "Plan | None" = None  # the run that extracted the same file before

    @property
    def document(self) -> "Plan":
        """The run whose number decides what the document says."""
        return self.first or self


def full_config(**overrides: Json) -> dict[str, Json]:
    return _DEFAULT_CONFIG | overrides


def timestamp(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _timestamp_variant(dice: Dice, moment: datetime) -> tuple[str, datetime]:
    """An ISO 8601 text, mostly with six digits and `Z`, and the instant that it states."""
    draw = dice.random()
    if draw < 0.85:
        return timestamp(moment), moment
    if draw < 0.89:
        moment = moment.replace(microsecond=moment.microsecond // 1000 * 1000)
        return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z"), moment
    if draw < 0.93:
        moment = moment.replace(microsecond=0)
        return moment.strftime("%Y-%m-%dT%H:%M:%SZ"), moment
    if draw < 0.97:
        return moment.isoformat(timespec="microseconds"), moment
    return (moment + timedelta(hours=2)).strftime("%Y-%m-%dT%H:%M:%S.%f+02:00"), moment


def agent_id(seed: int, number: int) -> str:
    return _dice(seed, number, "agent").uuid()


def _dice(seed: int, index: int, part: str) -> Dice:
    return Dice(f"{seed}/{index}/{part}")


def agents(seed: int, corpus: str) -> list[Agent]:
    found = []
    for number, kind in enumerate(CORPORA[corpus].kinds):
        edited = AGENT_EDITED if kind.before else NOW - SPAN - timedelta(days=3, hours=number)
        found.append(
            Agent(
                {
                    "id": agent_id(seed, number),
                    "name": kind.agent,
                    "project_id": PROJECT_ID,
                    "data_schema": kind.schema,
                    "config": full_config(**kind.config),
                    "custom_configuration": None,
                    "created_at": timestamp(NOW - SPAN - timedelta(days=9, hours=number)),
                    "updated_at": timestamp(edited),
                },
                kind,
            )
        )
    return found


def default_agent(seed: int) -> Agent:
    made = timestamp(NOW - SPAN - timedelta(days=12))
    fields = {"id": agent_id(seed, -1), "name": "Default", "project_id": PROJECT_ID, "data_schema": {}}
    fields |= {"config": full_config(), "custom_configuration": "default", "created_at": made, "updated_at": made}
    return Agent(fields, None)


def _status(index: int) -> str:
    """Mostly SUCCESS; the in-flight runs are among the newest. Fixed numbers, so that a small corpus has each."""
    if index in (1, 7):
        return "CREATED"
    if index in (3, 4, 12):
        return "PENDING"
    if index % 97 == 41:
        return "PARTIAL_SUCCESS"
    return "ERROR" if index % 29 == 17 else "SUCCESS"


def plan(seed: int, index: int, count: int, known: list[Agent], lifelike: bool) -> tuple[Plan, dict[str, Json]]:
    """The run number `index` of `count`, the newest being 0: its plan and its scalar fields."""
    dice = _dice(seed, index, "run")
    agent = known[(0, 1, 2, 3, 4, 0, 1, 0, 2, 3)[index % 10]] if len(known) > 1 else known[0]
    status = _status(index) if lifelike else "SUCCESS"
    # A bulk upload creates several runs at the same instant.
    place = index - index % 6 if lifelike and index % 50 < 6 else index
    created = NOW - SPAN * ((place + 0.5) / count) + timedelta(microseconds=dice.upto(0, 999) if place == index else 0)
    text, created = _timestamp_variant(dice, created)
    older = index + _EXTRACTED_AGAIN.get(index % 100, count)
    first = plan(seed, older, count, known, lifelike)[0] if lifelike and older < count else None
    made = Plan(seed, index, agent, status, created, lifelike, first)
    fields = scalars(made) | {"created_at": text, "updated_at": text}
    if status != "CREATED":
        updated = created + timedelta(seconds=2 + dice.random() * 240)
        fields["updated_at"], _ = _timestamp_variant(dice, min(updated, NOW))
    return made, fields


def scalars(made: Plan) -> dict[str, Json]:
    """The cheap fields of a run, its times excepted."""
    dice = _dice(made.seed, made.index, "scalars")
    no_file = made.oddities and made.index % 61 == 34
    own = {
        "id": dice.uuid(),
        "project_id": PROJECT_ID,
        "extraction_agent_id": made.agent.fields["id"],
        "file_id": None if no_file else dice.uuid(),
        "status": made.status,
        "error": error_text(made) if made.status == "ERROR" else None,
        "job_id": None if made.oddities and made.index % 37 == 20 else dice.uuid(),
        "from_ui": dice.chance(0.15),
    }
    return own | {"file_id": scalars(made.first)["file_id"]} if made.first else own


def error_text(made: Plan) -> str:
    return _dice(made.seed, made.index, "error").pick(_ERRORS)


def file_record(made: Plan, file_id: str) -> dict[str, Json]:
    """The `File` of a run."""
    made = made.document
    dice = _dice(made.seed, made.index, "file")
    name = dice.pick(made.agent.kind.files if made.agent.kind else ("document-{n}.pdf",)).format(n=dice.digits(5))
    uploaded = made.created - timedelta(seconds=dice.random() * 90)
    source = dice.uuid() if dice.chance(0.2) else None
    return {
        "id": file_id,
        "created_at": timestamp(uploaded),
        "updated_at": timestamp(uploaded),
        "name": name,
        "external_file_id": name if dice.chance(0.5) else None,
        "file_size": dice.upto(9_000, 4_000_000),
        "file_type": name.rsplit(".", 1)[1].lower(),
        "project_id": PROJECT_ID,
        "last_modified_at": _timestamp_variant(dice, uploaded)[0],
        "resource_info": {
            "file_size": dice.digits(7),
            "last_modified_at": uploaded.strftime("%Y-%m-%dT%H:%M:%S"),
            "path": f"inbox\\{uploaded:%Y/%m}/{name}",
            "etag": f'"{dice.digits(12)}"',
        }
        if dice.chance(0.8)
        else None,
        "permission_info": {"owner": "ap@example.org", "groups": ["finance", "audit"], "public": False}
        if dice.chance(0.6)
        else None,
        "data_source_id": source,
        "expires_at": timestamp(uploaded + timedelta(days=365)) if dice.chance(0.1) else None,
        "purpose": dice.pick(("extract", "user_data", None)),
    }


def body(made: Plan) -> dict[str, Json]:
    """The large fields of a run that has the plan's status: data_schema, config, data and extraction_metadata."""
    dice = _dice(made.seed, made.index, "body")
    agent, kind = made.agent.fields, made.agent.kind
    old = bool(kind and kind.before and made.oddities and made.created < AGENT_EDITED)
    schema: Schema = kind.schema_before if kind and kind.schema_before and old else agent["data_schema"]
    config = agent["config"] | (_config_override(dice, made.index) if made.oddities else {})
    config |= _CONFIG_AGAIN if made.first else {}
    data: Json = None
    extracted: Json = None
    if made.status in ("SUCCESS", "PARTIAL_SUCCESS"):
        document = _dice(made.seed, made.document.index, "document")
        data = kind.write(document) if kind else _made_up(document, schema, config)
        if kind and made.first:
            data = misread.again(dice, data, kind.varies)
        if kind and kind.before and old:
            data = kind.before(data)
        if made.oddities and not made.first:
            data = _odd(dice, data, schema)
    if made.status in _FINAL:
        pages = _pages(made, config, data)
        extracted = {
            "usage": _usage(dice, config, pages),
            "field_metadata": _field_metadata(dice, made, config, data, pages),
        }
    return {"data_schema": schema, "config": config, "data": data, "extraction_metadata": extracted}


def _pages(made: Plan, config: dict[str, Json], data: Json) -> int:
    """How many pages the document has."""
    if isinstance(data, list) and config["extraction_target"] == "PER_PAGE":
        return len(data)
    return _dice(made.seed, made.document.index, "pages").upto(1, 6)


def _made_up(dice: Dice, schema: Schema, config: dict[str, Json]) -> Json:
    if config.get("extraction_target", "PER_DOC") == "PER_DOC":
        return from_schema(dice, schema)
    return [from_schema(dice, schema) for _ in range(dice.upto(1, 4))]


def _config_override(dice: Dice, index: int) -> dict[str, Json]:
    if index % 89 == 53:  # models that are newer than the vendor's client
        return {"parse_model": "gemini-3.1-pro", "extract_model": "openai-gpt-5-5-preview"}
    if dice.chance(0.93):
        return {}
    return dice.pick(
        (
            {"system_prompt": "Amounts are in thousands.\nLeave out “subtotal” rows."},
            {"page_range": "1-3,8", "invalidate_cache": True},
            {"priority": "high", "num_pages_context": 2},
        )
    )


def _usage(dice: Dice, config: dict[str, Json], pages: int) -> Json:
    usage = {
        "num_pages_extracted": pages,
        "num_document_tokens": pages * dice.upto(700, 1900),
        "num_output_tokens": dice.upto(300, 2400),
    }
    return usage | ({"num_reasoning_tokens": dice.upto(0, 900)} if config["use_reasoning"] else {})


def _odd(dice: Dice, data: Json, schema: Schema) -> Json:
    """Now and then what a model does: empty lists, few values, missing keys, misfit values, very long text."""
    draw = dice.random()
    if draw > 0.16:
        return data
    rows = data if isinstance(data, list) else [data]
    optional = [name for name, field in schema["properties"].items() if "default" in field]
    for row in rows:
        if draw < 0.04:
            row.update({key: [] for key, value in row.items() if isinstance(value, list)})
        elif draw < 0.07:
            row.update(dict.fromkeys(key for key in optional if key in row))
        elif draw < 0.11:
            for key in optional:
                if row.get(key) is None:
                    row.pop(key, None)
        elif draw < 0.14:
            for key, value in row.items():
                if type(value) in (int, float):
                    row[key] = dice.pick((str(value), f"approx. {value}"))
                    break
        else:
            for key, value in row.items():
                if isinstance(value, str) and key in ("notes", "summary", "reasoning", "text", "section"):
                    row[key] = "\n".join([value] * dice.upto(40, 160))
                    break
    return data


def _field_metadata(dice: Dice, made: Plan, config: dict[str, Json], data: Json, pages: int) -> Json:
    if not (config["cite_sources"] or config["confidence_scores"]):
        return {}
    doubts = made.agent.kind.doubts if made.agent.kind else {}
    tree = Reading(dice, config, pages, doubts).tree(data) if data is not None else {}
    if made.oddities and isinstance(tree, dict) and (made.status != "SUCCESS" or dice.chance(0.03)):
        tree["error"] = "Citations could not be computed for all fields: token limit exceeded"
    return tree
