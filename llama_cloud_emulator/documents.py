"""The kinds of made-up documents: for each agent a data schema and data that conforms to it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import date
from typing import Any

from llama_cloud_emulator.dice import Dice
from llama_cloud_emulator.schemas import CONTRACT, CONTRACT_BEFORE, FORM_PAGE, INVOICE, RESUME, STATEMENT_ROW, Schema

Json = Any

COMPANIES = (
    "Nordlicht Papier GmbH & Co. KG",
    "Acme Fasteners, Inc.",
    'O\'Brien "Quick" Couriers Ltd',
    "株式会社さくら印刷",
    "Société Générale d'Outillage S.à r.l.",
    "Żółw Logistyka Sp. z o.o.",
    "Blue Ridge Office Supply",
    "ООО «Ромашка»",
    "Kaffeerösterei Grünwald",
    "Harbor Light Electric Co.",
    "مؤسسة النور للتجارة",
    "Pacific Cold Storage LLC",
)
PEOPLE = (
    "Maria Fernández",
    "Jonas Weiß",
    "Aiko Tanaka",
    "Liam O'Connor",
    "Zoë van den Berg",
    "Nguyễn Thị Hoa",
    "Priya Raghunathan",
    "Tomasz Wójcik",
    "Amara Okafor",
    "Иван Петров",
    "Sarah Lindqvist",
    "Mateus da Silva",
)
STREETS = ("Hafenstraße", "Main St.", "Rue de l'Église", "Elm Avenue", "Calle Mayor", "Kirkegata", "5th Ave Suite")
CITIES = ("Hamburg", "Springfield", "Liège", "Portland", "Zaragoza", "Tromsø", "大阪市", "Kraków", "Fresno")
COUNTRIES = ("DE", "US", "BE", "US", "ES", "NO", "JP", "PL")
PRODUCTS = (
    "Copy paper A4 80 g/m², 500 sheets",
    'Hex bolt M8×40, zinc plated, 8.8"',
    "Toner cartridge, black (compatible)",
    "Monthly maintenance — site visit",
    "Freight, pallet 120×80",
    "USB-C cable 2 m\t(bulk)",
    "Espresso blend 1 kg",
    "Shelving unit, 5 tiers",
    "Consulting, senior engineer",
    "Safety gloves, size 9\nEN 388:2016",
    "Label roll 100×150 thermal",
    "Surcharge small order",
    "LED panel 600×600 40 W",
    "Software licence, 1 seat / 12 months",
)
NOTES = (
    "Please quote the invoice number with your payment.",
    "Delivered in two parts.\nThe second part follows in week 32.",
    "Thank you for your business! 🎉",
    'Customer asked for "net 45" — approved by accounting\\AR.',
    "お支払いは月末までにお願いします。",
    "Reverse charge: VAT to be accounted for by the recipient.",
    "Return within 14 days\tin original packaging only.",
)
SENTENCES = (
    "The Supplier shall perform the Services with reasonable skill and care.",
    "Neither party shall be liable for any indirect or consequential loss.",
    "Each party shall keep the other's Confidential Information secret for a period of five (5) years.",
    "This Agreement renews automatically unless either party gives ninety (90) days' written notice.",
    "Fees are exclusive of value added tax, which shall be payable in addition.",
    "The Customer may audit the Supplier's records once in each Contract Year.",
    'The term "Affiliate" has the meaning given in Schedule 2\\B.',
    "Notices must be in writing and are deemed received on the second Business Day after posting.",
    "Die Haftung für leichte Fahrlässigkeit ist ausgeschlossen.",
    "Any dispute shall be settled by arbitration under the rules of the ICC.",
)


def _prose(dice: Dice, low: int, high: int) -> str:
    return " ".join(dice.pick(SENTENCES) for _ in range(dice.upto(low, high)))


def _date_text(dice: Dice) -> str:
    """A date as it stands on paper: such text must stay text, also where it looks like ISO 8601."""
    day = dice.day()
    return day.strftime(dice.pick(("%Y-%m-%d", "%d.%m.%Y", "%m/%d/%Y", "%d %B %Y", "%Y%m%d")))


# -- invoices: one object a document -------------------------------------------------------------------------

_ITEM_COUNTS = (0, 2, 4, 5, 6, 7, 8, 8, 9, 9, 9, 9, 9, 10, 10, 11, 12, 13, 16, 20)


def _line_item(dice: Dice) -> Json:
    quantity: int | float = dice.upto(1, 48) if dice.chance(0.85) else round(dice.random() * 20, 3)
    unit_price = dice.money(180)
    taxes = []
    while dice.chance(0.15):
        rate = dice.pick((7, 19, 8.875, 20, 5.5))
        taxes.append({"name": dice.pick(("VAT", "GST", "MwSt")), "rate": rate, "amount": dice.money(60)})
    return {
        "description": dice.pick(PRODUCTS),
        "sku": dice.digits(8) if dice.chance(0.7) else None,
        "quantity": quantity,
        "unit_price": unit_price,
        "amount": round(quantity * unit_price, 2),
        "taxes": taxes,
    }


def invoice(dice: Dice) -> Json:
    # Nobody's invoices have a fax number, a cost centre or another address for the goods, and no position a serial
    # number: that one is missing, where the others are null.
    items = [_line_item(dice) for _ in range(dice.pick(_ITEM_COUNTS))]
    subtotal = round(sum(item["amount"] for item in items), 2)
    issued = dice.day()
    return {
        "invoice_number": f"{dice.pick(('INV-', 'RE', '', '2025/'))}{dice.digits(6)}",
        "reference": f"PO-{dice.digits(5)}" if dice.chance(0.5) else dice.digits(5) if dice.chance(0.7) else None,
        "invoice_date": issued.isoformat(),
        "due_date": date.fromordinal(issued.toordinal() + 30).isoformat() if dice.chance(0.85) else None,
        "received_at": f"{issued.isoformat()}T0{dice.upto(6, 9)}:{dice.upto(10, 59)}:00Z" if dice.chance(0.3) else None,
        "service_period": f"{_date_text(dice)} - {_date_text(dice)}" if dice.chance(0.25) else None,
        "currency": dice.pick(("EUR", "USD", "EUR", "JPY", "PLN", "NOK")),
        "vendor": {
            "name": dice.pick(COMPANIES),
            "tax_id": f"DE{dice.digits(9)}" if dice.chance(0.7) else None,
            "fax": None,
            "address": {
                "street": f"{dice.pick(STREETS)} {dice.upto(1, 240)}",
                "city": dice.pick(CITIES),
                "postal_code": dice.digits(5),
                "region": dice.pick(("CA", "OR", "NY")) if dice.chance(0.2) else None,
                "country": dice.pick(COUNTRIES),
            },
        },
        "line_items": items,
        "subtotal": subtotal,
        "discount": dice.money(50) if dice.chance(0.15) else None,
        "total": round(subtotal * 1.19, 2),
        "paid": dice.chance(0.1) if dice.chance(0.5) else None,
        "payment_terms": dice.pick(("30 days net", "14 Tage 2 % Skonto", "due on receipt"))
        if dice.chance(0.8)
        else None,
        "notes": dice.pick(NOTES) if dice.chance(0.5) else None,
        "late_fee": dice.money(40) if dice.chance(0.04) else None,
        "cost_center": None,
        "delivery_address": None,
    }


# -- résumés: lists in lists, and a field that is really called `reasoning` ----------------------------------

_TOOLS = ("Python", "SQL", "C++", "Excel", "dbt", "Kafka", "SAP R/3", "Photoshop", "Go", "Terraform", "日本語 N1")
_TITLES = ("Data Engineer", "Accountant", "Project Lead", "Nurse (RN)", "Sachbearbeiterin", "Chef de projet")


def _job(dice: Dice, current: bool) -> Json:
    return {
        "employer": dice.pick(COMPANIES),
        "title": dice.pick(_TITLES),
        "start": f"{dice.upto(1, 12):02d}/{dice.upto(2008, 2020)}",
        "end": None if current else f"{dice.upto(1, 12):02d}/{dice.upto(2021, 2025)}",
        "current": current,
        "bullets": [
            {"text": dice.pick(SENTENCES), "tools": [dice.pick(_TOOLS) for _ in range(dice.upto(0, 3))]}
            for _ in range(dice.upto(0, 4))
        ],
    }


def resume(dice: Dice) -> Json:
    name = dice.pick(PEOPLE)
    return {
        "name": name,
        "email": f"{name.split()[0].lower()}.{dice.digits(3)}@example.org" if dice.chance(0.9) else None,
        "phone": f"00{dice.digits(11)}" if dice.chance(0.8) else None,
        "born": _date_text(dice) if dice.chance(0.4) else None,
        "headline": f"{dice.pick(_TITLES)} — {dice.pick(CITIES)} ✨" if dice.chance(0.6) else None,
        "jobs": [_job(dice, index == 0) for index in range(dice.upto(0, 4))],
        "education": [
            {
                "school": f"University of {dice.pick(CITIES)}",
                "degree": dice.pick(("B.Sc.", "M.A.", "Diplom", "PhD")) if dice.chance(0.9) else None,
                "year": dice.upto(1990, 2024) if dice.chance(0.9) else None,
                "grade": dice.pick((1.3, 3.9, "cum laude", 2, "A-", None)),
            }
            for _ in range(dice.upto(0, 3))
        ],
        "skills": [dice.pick(_TOOLS) for _ in range(dice.upto(0, 9))],
        "publications": [],
        "availability": [
            [day, f"{dice.upto(7, 10):02d}:00", f"{dice.upto(14, 18)}:30"]
            for day in ("Mon", "Tue", "Wed", "Thu", "Fri")
            if dice.chance(0.4)
        ],
        "scores": [[dice.money(100) for _ in range(dice.upto(1, 3))] for _ in range(2)] if dice.chance(0.4) else None,
        "years_of_experience": dice.pick((1, 3, 7.5, 12, 20)) if dice.chance(0.8) else None,
        "reasoning": _prose(dice, 1, 2) if dice.chance(0.5) else None,
    }


# -- contracts: a tree of clauses, a free map, a schema that was edited once ---------------------------------


def _clause(dice: Dice, number: str, depth: int) -> Json:
    children = dice.upto(0, 2) if depth < 3 else 0
    return {
        "number": number,
        "heading": dice.pick(("Term", "Fees", "Liability", "Confidentiality", "Haftung")) if depth == 1 else None,
        "text": _prose(dice, 1, 3),
        "is_standard": dice.chance(0.8),
        "sub_clauses": [_clause(dice, f"{number}.{index + 1}", depth + 1) for index in range(children)],
    }


def contract(dice: Dice) -> Json:
    terms = (
        ("escrow agent", dice.pick(COMPANIES)),
        ("uptime_%", 99.9),
        ("mostFavoured", True),
        ("SLA (hours)", dice.upto(1, 72)),
        ("penalty", "n/a"),
    )
    renews = dice.pick((True, False, None))
    return {
        "title": dice.pick(
            ("Master Services Agreement", "Rahmenvertrag", "Non-Disclosure Agreement", "業務委託契約書")
        ),
        "contract_id": f"00{dice.digits(6)}" if dice.chance(0.8) else None,
        "amends": f"00{dice.digits(6)}" if dice.chance(0.06) else None,
        "effective_date": dice.day().isoformat() if dice.chance(0.9) else None,
        "signed_on": _date_text(dice) if dice.chance(0.7) else None,
        "parties": [
            {
                "name": dice.pick(COMPANIES),
                "role": role,
                "registration_number": None,
                "signed": dice.chance(0.8),
                "signatories": [dice.pick(PEOPLE) for _ in range(dice.upto(0, 2))],
            }
            for role in ("customer", "supplier", "guarantor")[: dice.upto(2, 3)]
        ],
        "clauses": [_clause(dice, str(index + 1), 1) for index in range(dice.upto(2, 5))],
        "auto_renews": renews,
        "renewal_term": dice.pick((6, 12, 24, 36)) if renews else None,
        "renewal_notice": dice.pick(("P90D", "P3M", "P1Y")) if renews else None,
        "liability_cap": dice.money(1_000_000) if dice.chance(0.5) else None,
        "governing_law": dice.pick(("England and Wales", "Deutschland", "Delaware")) if dice.chance(0.8) else None,
        "custom_terms": dict(term for term in terms if dice.chance(0.4)) if dice.chance(0.7) else None,
        "summary": _prose(dice, 2, 6),
    }


def _contract_before(data: Json) -> Json:
    """The data of a run from before the agent's edit: one field less, one of another type, one that was given up."""
    term = data["renewal_term"]
    language = {"Rahmenvertrag": "German", "業務委託契約書": "Japanese"}.get(data["title"], "English")
    kept = {name: value for name, value in data.items() if name != "governing_law"}
    return kept | {"renewal_term": term and f"{term} months", "language": language}


# -- bank statements: one object a table row -----------------------------------------------------------------


def statement(dice: Dice) -> Json:
    account, balance = f"000{dice.digits(7)}", dice.money(9000)
    rows = []
    for number in range(dice.upto(3, 26)):
        amount = dice.money(900) if dice.chance(0.3) else -dice.money(300)
        balance = round(balance + amount, 2)
        rows.append(
            {
                "account_number": account,
                "booked_on": dice.day().isoformat(),
                "value_date": _date_text(dice) if dice.chance(0.5) else None,
                "text": dice.pick(("SEPA-LASTSCHRIFT", "CARD 4711\tPOS 00123", "ATM\nCash withdrawal", "Überweisung")),
                "counterparty": dice.pick(COMPANIES) if dice.chance(0.7) else None,
                "reference": number + 1 if dice.chance(0.8) else None,
                "amount": amount,
                "balance": balance if dice.chance(0.8) else None,
                "category": dice.pick(("salary", "rent", "card", "fee", "transfer")) if dice.chance(0.6) else None,
                "cheque_number": None,
            }
        )
    return rows


# -- forms: one object a page --------------------------------------------------------------------------------


def form(dice: Dice) -> Json:
    number = dice.digits(5)
    return [_form_page(dice, number, page + 1) for page in range(dice.upto(1, 5))]


def _form_page(dice: Dice, number: str, page: int) -> Json:
    filled = {
        "form_number": number,
        "page": page if dice.chance(0.9) else None,
        "section": dice.pick(("Claimant", "Incident 🚗", "Costs", "Erklärung")) if dice.chance(0.8) else None,
        "entries": [
            {
                "label": dice.pick(("Name", "Policy no.", "Date of loss", "Amount", "Phone", "備考")),
                "value": dice.pick(
                    (dice.pick(PEOPLE), f"0{dice.digits(5)}", _date_text(dice), dice.upto(1, 900), None)
                ),
                "crossed_out": True if dice.chance(0.05) else None,
            }
            for _ in range(dice.upto(0, 8))
        ],
        "checkboxes": [dice.chance(0.4) for _ in range(dice.upto(0, 5))],
        "total": dice.pick(("1 234,00 EUR", "$87.50", "017", "ca. 300")) if dice.chance(0.4) else None,
        "signed_at": f"{dice.day().isoformat()}T14:{dice.upto(10, 59)}:00+02:00" if dice.chance(0.4) else None,
        "handwritten": dice.chance(0.5) if dice.chance(0.7) else None,
    }
    # A field that is not on the page is missing here, not null: `witness` is on none.
    return filled | ({"police_report": f"P-{dice.digits(6)}"} if dice.chance(0.04) else {})


# -- any other schema ----------------------------------------------------------------------------------------


def from_schema(dice: Dice, schema: Schema, root: Schema | None = None, depth: int = 0) -> Json:
    """Data for a schema of which nothing but its text is known: an agent that a test added."""
    root = root or schema
    if "$ref" in schema:
        target: Json = root
        for part in schema["$ref"].removeprefix("#/").split("/"):
            target = target[part]
        return from_schema(dice, target, root, depth)
    if options := schema.get("enum") or ([schema["const"]] if "const" in schema else None):
        return dice.pick(options)
    if options := schema.get("anyOf") or schema.get("oneOf"):
        return from_schema(dice, dice.pick(options), root, depth)
    kind = schema.get("type", "object" if "properties" in schema else "string")
    if isinstance(kind, list):
        kind = dice.pick(kind)
    if kind == "object":
        return {k: from_schema(dice, v, root, depth + 1) for k, v in schema.get("properties", {}).items()}
    if kind == "array":  # a recursive schema ends here
        count = dice.upto(0, 3) if depth < 6 else 0
        return [from_schema(dice, schema.get("items", {}), root, depth + 1) for _ in range(count)]
    if kind == "string" and "format" in schema:
        day = dice.day().isoformat()
        return {"date": day, "date-time": f"{day}T08:30:00Z"}.get(schema["format"], dice.digits(6))
    values: dict[str, Callable[[], Json]] = {
        "integer": lambda: dice.upto(0, 1000),
        "number": lambda: dice.money(1000),
        "boolean": lambda: dice.chance(0.5),
        "null": lambda: None,
    }
    return values.get(kind, lambda: dice.pick(PRODUCTS))()


# -- the agents ----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Kind:
    """An agent and the documents that go through it."""

    agent: str
    schema: Schema
    write: Callable[[Dice], Json]
    config: dict[str, Json] = field(default_factory=dict)
    files: tuple[str, ...] = ("document-{n}.pdf",)
    varies: tuple[str, ...] = ()  # fields that another extraction of the same file may read differently
    doubts: Mapping[str, float] = field(default_factory=dict)  # how often the value of a field is hard to read
    schema_before: Schema | None = None
    before: Callable[[Json], Json] | None = None


_CITED = {"cite_sources": True, "confidence_scores": True}
INVOICES = Kind(
    "Invoices",
    INVOICE,
    invoice,
    files=("rechnung_{n}.pdf", "INV {n}.PDF", "scan-{n}.png"),
    varies=("tax_id", "postal_code", "quantity", "notes"),
    doubts={"tax_id": 0.06, "postal_code": 0.04, "sku": 0.01, "quantity": 0.008},
)
INVOICES_CITED = replace(INVOICES, config=_CITED)
CLAIM_FORMS = Kind(
    "Claim forms",
    FORM_PAGE,
    form,
    {**_CITED, "extraction_target": "PER_PAGE", "high_resolution_mode": True, "citation_bbox": True},
    ("form-{n}.tiff", "claim {n}.pdf"),
    varies=("form_number", "value", "total", "signed_at"),
    doubts={"value": 0.04, "total": 0.12, "signed_at": 0.12},
)
MIXED = (
    INVOICES_CITED,
    Kind(
        "Résumés / CVs",
        RESUME,
        resume,
        {
            "cite_sources": True,
            "use_reasoning": True,
            "extraction_mode": "MULTIMODAL",
            "extract_model": "openai-gpt-5",
        },
        ("CV {n} (final).docx", "lebenslauf-{n}.pdf", "履歴書_{n}.pdf"),
        varies=("name", "email", "phone", "employer", "year"),
    ),
    Kind(
        "Contracts (legal)",
        CONTRACT,
        contract,
        {**_CITED, "chunk_mode": "SECTION", "system_prompt": 'Quote clauses verbatim.\nDo not "summarise" them.'},
        ("contract-{n}.pdf", "MSA {n} signed.pdf"),
        varies=("name", "signed_on", "liability_cap", "signatories"),
        doubts={"signed_on": 0.12, "liability_cap": 0.08, "signatories": 0.06},
        schema_before=CONTRACT_BEFORE,
        before=_contract_before,
    ),
    Kind(
        "Bank statements",
        STATEMENT_ROW,
        statement,
        {"extraction_target": "PER_TABLE_ROW", "extraction_mode": "BALANCED", "confidence_scores": True},
        ("statement_{n}.xlsx", "kontoauszug_{n}.pdf"),
        varies=("text", "counterparty"),
    ),
    CLAIM_FORMS,
)


@dataclass(frozen=True, slots=True)
class Corpus:
    """The agents of a project, and whether their runs fail, are odd and share files now and then as real ones do."""

    kinds: tuple[Kind, ...]
    lifelike: bool = True


CORPORA = {
    "mixed": Corpus(MIXED),
    "only-invoices": Corpus((INVOICES_CITED,)),
    "only-claim-forms": Corpus((CLAIM_FORMS,)),
    "empty": Corpus(()),
    "invoices": Corpus((INVOICES,), lifelike=False),
    "invoices-cited": Corpus((INVOICES_CITED,), lifelike=False),
}
