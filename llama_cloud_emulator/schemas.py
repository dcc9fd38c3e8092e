"""The data schemas of the made-up agents, as pydantic emits them."""

from typing import Any

Json = Any
Schema = dict[str, Any]


def _text(description: str, **more: Json) -> Schema:
    return {"description": description, "type": "string", **more}


def _number(description: str) -> Schema:
    return {"description": description, "type": "number"}


def _integer(description: str) -> Schema:
    return {"description": description, "type": "integer"}


def _boolean(description: str) -> Schema:
    return {"description": description, "type": "boolean"}


def _ref(name: str, description: str | None = None) -> Schema:
    return {"$ref": f"#/$defs/{name}"} | ({"description": description} if description else {})


def _array(items: Schema, description: str) -> Schema:
    return {"description": description, "items": items, "type": "array"}


def _optional(schema: Schema) -> Schema:
    about = {"description": schema["description"]} if "description" in schema else {}
    bare = {key: value for key, value in schema.items() if key != "description"}
    return {"anyOf": [*bare.get("anyOf", [bare]), {"type": "null"}], "default": None, **about}


def _model(title: str, description: str, /, **fields: Schema) -> Schema:
    properties = {
        name: schema if "$ref" in schema else {**schema, "title": name.replace("_", " ").title()}
        for name, schema in fields.items()
    }
    required = [name for name, schema in fields.items() if "default" not in schema]
    return {
        "description": description,
        "properties": properties,
        "required": required,
        "title": title,
        "type": "object",
    }


def _with_defs(schema: Schema, *models: Schema) -> Schema:
    return {"$defs": {model["title"]: model for model in sorted(models, key=lambda m: str(m["title"]))}, **schema}


# -- invoices: one object a document -------------------------------------------------------------------------

_ADDRESS = _model(
    "Address",
    "A postal address as printed on the document.",
    street=_text("Street and house number, without the city."),
    city=_text("City or town."),
    postal_code=_text("Postal code as printed; leading zeros matter."),
    region=_optional(_text("State, province or canton, when it is printed.")),
    country=_text("ISO 3166-1 alpha-2 country code."),
)
INVOICE = _with_defs(
    _model(
        "Invoice",
        "A supplier's invoice.",
        invoice_number=_text("The supplier's invoice number exactly as printed, with leading zeros and separators."),
        reference=_optional(_text("Customer reference or purchase order number.")),
        invoice_date=_text("Date of issue.", format="date"),
        due_date=_optional(_text("Date by which payment is due.", format="date")),
        received_at=_optional(_text("Time of the received stamp, if there is one.", format="date-time")),
        service_period=_optional(_text("Period of service as printed, for example 01.03.2025 - 31.03.2025.")),
        currency=_ref("Currency", "Currency of all amounts on the invoice."),
        vendor=_ref("Vendor", "The company that issued the invoice."),
        line_items=_array(_ref("LineItem"), "All positions of the invoice in the order in which they are printed."),
        subtotal=_number("Sum of the line amounts before taxes and discount."),
        discount=_optional(_number("Discount on the whole invoice as a positive amount.")),
        total=_number("Amount payable including taxes."),
        paid=_optional(_boolean("True when the document says that it has been paid already.")),
        payment_terms=_optional(_text("Payment terms as printed, for example '30 days net, 2% 10 days'.")),
        notes=_optional(_text("Any other remark on the document, line breaks kept.")),
        late_fee=_optional(_number("Fee for late payment of an earlier invoice.")),
        cost_center=_optional(_text("Our cost centre, when it is printed.")),
        delivery_address=_optional(_ref("Address", "Where the goods went, when it is another address.")),
    ),
    _ADDRESS,
    {
        "enum": ["EUR", "USD", "JPY", "PLN", "NOK"],
        "title": "Currency",
        "type": "string",
        "description": "ISO 4217 currency code.",
    },
    _model(
        "Vendor",
        "The issuing company.",
        name=_text("Legal name of the company, including its legal form."),
        tax_id=_optional(_text("VAT or tax number, as printed.")),
        fax=_optional(_text("Fax number.")),
        address=_ref("Address", "Address of the company."),
    ),
    _model(
        "LineItem",
        "One position of the invoice.",
        description=_text("Description of the goods or services, line breaks kept."),
        sku=_optional(_text("Article number, as printed; may have leading zeros.")),
        quantity=_number("Quantity; 1 when none is printed."),
        unit_price=_number("Price of one unit before taxes."),
        amount=_number("Amount of the line before taxes."),
        serial_number=_optional(_text("Serial number of the article.")),
        taxes=_array(_ref("Tax"), "Taxes that are shown on the line itself; empty when there are none."),
    ),
    _model(
        "Tax",
        "A tax on a line.",
        name=_text("Name of the tax, for example VAT or GST."),
        rate=_optional(_number("Rate in percent.")),
        amount=_number("Amount of the tax."),
    ),
)
# -- résumés: lists in lists, and a field that is really called `reasoning` ----------------------------------

RESUME = _with_defs(
    _model(
        "Resume",
        "An applicant's résumé.",
        name=_text("Full name as written."),
        email=_optional(_text("E-mail address.", format="email")),
        phone=_optional(_text("Phone number as written.")),
        born=_optional(_text("Date of birth as written.")),
        headline=_optional(_text("The line under the name.")),
        jobs=_array(_ref("Job"), "Positions held, latest first."),
        education=_array(_ref("Education"), "Schools and universities."),
        skills=_array({"type": "string"}, "Skills as written, one each."),
        publications=_array({"type": "string"}, "Titles of publications."),
        availability=_array(
            {"items": {"type": "string"}, "type": "array"}, "Weekly availability: a list of [weekday, from, to]."
        ),
        scores=_optional(_array({"items": {"type": "number"}, "type": "array"}, "Rows of a table of test scores.")),
        years_of_experience=_optional(_number("Years of professional experience.")),
        reasoning=_optional(_text("Why the applicant says that they fit the position.")),
    ),
    _model(
        "Job",
        "A position held.",
        employer=_text("Name of the employer."),
        title=_text("Title of the position."),
        start=_optional(_text("Start as written, for example 03/2019.")),
        end=_optional(_text("End as written; null when the position is current.")),
        current=_boolean("True when the position is current."),
        bullets=_array(_ref("Bullet"), "What was done there."),
    ),
    _model(
        "Bullet",
        "One line under a position.",
        text=_text("The line."),
        tools=_array({"type": "string"}, "Tools or technologies that the line names."),
    ),
    _model(
        "Education",
        "A degree.",
        school=_text("Name of the school."),
        degree=_optional(_text("Degree as written.")),
        year=_optional(_integer("Year of the degree.")),
        grade=_optional({"anyOf": [{"type": "number"}, {"type": "string"}], "description": "Grade as printed."}),
    ),
)
# -- contracts: a tree of clauses, a free map, a schema that was edited once ---------------------------------


def _contract_schema(**changed: Schema) -> Schema:
    fields = {
        "title": _text("Title of the contract."),
        "contract_id": _optional(_text("Number of the contract as printed.")),
        "amends": _optional(_text("Number of the contract that this one amends.")),
        "effective_date": _optional(_text("Date on which the contract takes effect.", format="date")),
        "signed_on": _optional(_text("Date of signature as written.")),
        "parties": _array(_ref("ContractParty"), "Everyone who signs."),
        "clauses": _array(_ref("Clause"), "The clauses of the contract; sub-clauses are nested."),
        "auto_renews": _optional(_boolean("True when the contract renews unless it is terminated.")),
        "renewal_term": _optional(_integer("Length of a renewal in months.")),
        "renewal_notice": _optional(_text("Notice period as an ISO 8601 duration.", format="duration")),
        "liability_cap": _optional(_number("Cap of the liability in the currency of the contract.")),
        "governing_law": _optional(_text("Governing law.")),
        "custom_terms": _optional(
            {
                "additionalProperties": {"anyOf": [{"type": "string"}, {"type": "number"}, {"type": "boolean"}]},
                "description": "Terms that fit nowhere else, by a short name.",
                "type": "object",
            }
        ),
        "summary": _text("Summary of the contract in plain words."),
    }
    return _with_defs(
        _model("Contract", "A contract between companies.", **{k: v for k, v in (fields | changed).items() if v}),
        _model(
            "Clause",
            "A clause and its sub-clauses.",
            number=_text("Number as printed, for example 4.2.1."),
            heading=_optional(_text("Heading, when there is one.")),
            text=_text("Full text of the clause."),
            is_standard=_boolean("False when the clause departs from our template."),
            sub_clauses=_array(_ref("Clause"), "Clauses under this one."),
        ),
        _model(
            "ContractParty",
            "A party.",
            name=_text("Legal name."),
            role=_text("Role in the contract.", enum=["customer", "supplier", "guarantor"]),
            registration_number=_optional(_text("Number in the commercial register.")),
            signed=_boolean("Whether there is a signature."),
            signatories=_array({"type": "string"}, "Names of the people who sign."),
        ),
    )


CONTRACT = _contract_schema()
CONTRACT_BEFORE = _contract_schema(
    governing_law={},
    renewal_term=_optional(_text("Length of a renewal as written.")),
    language=_text("Language in which the contract is written."),
)


# -- bank statements: one object a table row -----------------------------------------------------------------

STATEMENT_ROW = _with_defs(
    _model(
        "StatementRow",
        "One booking of a bank statement.",
        account_number=_text("Account number with leading zeros."),
        booked_on=_text("Date of the booking.", format="date"),
        value_date=_optional(_text("Value date as printed.")),
        text=_text("Booking text, line breaks kept."),
        counterparty=_optional(_text("Name of the other party.")),
        reference=_optional(_integer("Running number of the booking.")),
        amount=_number("Amount; negative for a debit."),
        balance=_optional(_number("Balance after the booking.")),
        category=_optional(_ref("Category", "Category of the booking.")),
        cheque_number=_optional(_text("Number of the cheque.")),
    ),
    {"enum": ["salary", "rent", "card", "fee", "transfer"], "title": "Category", "type": "string"},
)


# -- forms: one object a page --------------------------------------------------------------------------------

FORM_PAGE = _with_defs(
    _model(
        "FormPage",
        "One page of a claim form.",
        form_number=_text("Number of the form, for example 00123."),
        page=_optional(_integer("Page number as printed.")),
        section=_optional(_text("Heading of the page.")),
        entries=_array(_ref("Entry"), "Filled-in boxes in reading order."),
        checkboxes=_array({"type": "boolean"}, "State of the check boxes from top to bottom."),
        total=_optional(_text("Total as written by hand.")),
        signed_at=_optional(_text("Time of the signature.", format="date-time")),
        handwritten=_optional(_boolean("True when the page is written by hand.")),
        police_report=_optional(_text("Number of the police report.")),
        witness=_optional(_text("Name of a witness.")),
    ),
    _model(
        "Entry",
        "A filled-in box.",
        label=_text("Printed label of the box."),
        value=_optional({"anyOf": [{"type": "string"}, {"type": "number"}], "description": "What was filled in."}),
        crossed_out=_optional(_boolean("True when the entry was crossed out.")),
    ),
)
