# The command as an image of its own: docker build -t llama-extract .
FROM python:3.13-slim-bookworm AS build
RUN pip install --no-cache-dir uv==0.13.9
WORKDIR /src
COPY pyproject.toml uv.lock README.md LICENSE ./
COPY llama_cloud_emulator ./llama_cloud_emulator
COPY sources ./sources
# Of pyproject.toml: --build-arg EXTRAS="postgres s3"
ARG EXTRAS="demo postgres"
ENV UV_PROJECT_ENVIRONMENT=/opt/llama-extract UV_PYTHON_DOWNLOADS=never
# Compiled now: in a read-only container each start would compile all that it imports.
RUN for extra in ${EXTRAS}; do set -- "$@" --extra "${extra}"; done; \
    uv sync --frozen --no-cache --no-default-groups --no-editable --compile-bytecode "$@"

FROM python:3.13-slim-bookworm
COPY --from=build /opt/llama-extract /opt/llama-extract
RUN install -d -o 65532 -g 65532 /data
ENV PATH=/opt/llama-extract/bin:$PATH \
    DLT_DATA_DIR=/tmp/dlt \
    RUNTIME__DLTHUB_TELEMETRY=false
# Where a DuckDB file is, if no other warehouse is named.
WORKDIR /data
USER 65532:65532
# As a list, so that the command itself is the first process, and hears of SIGTERM.
ENTRYPOINT ["llama-extract"]
