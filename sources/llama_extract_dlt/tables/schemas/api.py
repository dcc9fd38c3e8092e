"""What the API's description says of its own objects, as JSON Schemas."""

from __future__ import annotations

from typing import Any

_TEXT, _INTEGER, _NUMBER, _BOOLEAN = ({"type": kind} for kind in ("string", "integer", "number", "boolean"))
_TIMESTAMP = {"type": "string", "format": "date-time"}


def _object(**members: Any) -> dict[str, Any]:
    return {"type": "object", "properties": members}


def _all(names: str, schema: Any) -> dict[str, Any]:
    return dict.fromkeys(names.split(), schema)


_ANYTHING: dict[str, Any] = {}
"""An object that is kept as JSON."""

AGENT = _object(
    **_all("id name project_id custom_configuration", _TEXT),
    **_all("created_at updated_at", _TIMESTAMP),
    config=_ANYTHING,
)
USAGE = _object(**_all("num_pages_extracted num_document_tokens num_output_tokens", _INTEGER))
RUN = _object(
    **_all("id status extraction_agent_id project_id job_id file_id error", _TEXT),
    **_all("created_at updated_at", _TIMESTAMP),
    from_ui=_BOOLEAN,
    extraction_metadata=_object(usage=USAGE),
)
CONFIG = _object(
    **_all("chunk_mode extract_model extraction_mode extraction_target page_range parse_model", _TEXT),
    **_all("priority system_prompt", _TEXT),
    **_all("citation_bbox cite_sources confidence_scores high_resolution_mode invalidate_cache", _BOOLEAN),
    **_all("multimodal_fast_mode use_reasoning", _BOOLEAN),
    num_pages_context=_INTEGER,
)
FILE = _object(
    **_all("id name project_id data_source_id external_file_id file_type purpose", _TEXT),
    **_all("created_at updated_at expires_at last_modified_at", _TIMESTAMP),
    file_size=_INTEGER,
    permission_info=_ANYTHING,
    resource_info=_ANYTHING,
)
_CITATION = _object(
    page=_INTEGER,
    matching_text=_TEXT,
    page_dimensions=_object(width=_NUMBER, height=_NUMBER),
    bounding_boxes={"type": "array", "items": _object(**_all("x y w h", _NUMBER))},
)
FIELD_METADATA = _object(
    **_all("confidence extraction_confidence parsing_confidence", _NUMBER),
    **_all("reasoning error", _TEXT),
    citation={"type": "array", "items": _CITATION},
)
