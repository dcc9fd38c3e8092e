"""Databases that dlt reaches by SQLAlchemy: how they take JSON."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import sqlalchemy as sa
from dlt.common.json import json
from dlt.destinations.impl.sqlalchemy.type_mapper import SqlalchemyTypeMapper


class JsonText(sa.TypeDecorator[Any]):
    """JSON that comes as text, which SQLAlchemy's own type would take for a JSON string and quote."""

    impl = sa.JSON
    cache_ok = True

    def bind_processor(self, dialect: sa.Dialect) -> Callable[[Any], Any]:
        """Return what makes the text of a value: a text is one."""
        return lambda value: value if value is None or isinstance(value, str) else json.dumps(value)


def types_with_json_once(types: type[SqlalchemyTypeMapper]) -> type[SqlalchemyTypeMapper]:
    """Return the same types, but a column for JSON takes the text as it is."""

    class TypesWithJsonOnce(types):  # type: ignore[valid-type, misc]
        def db_type_from_json_type(self, *described: Any) -> Any:
            own = super().db_type_from_json_type(*described)
            return JsonText() if isinstance(own, sa.JSON) else own

    return TypesWithJsonOnce
