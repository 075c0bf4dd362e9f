# Servers, data steps and small models on CPUs. Not root, no compilers, no secrets inside.
#
#   docker build -t clara:cpu --build-arg GIT_COMMIT=$(git rev-parse HEAD) .
#   docker run --rm -v clara-data:/app/data clara:cpu clara run
#
# docker-compose.yaml runs it with Prefect, PostgreSQL and MLflow.
FROM python:3.11.14-slim-bookworm AS build

# Where torch comes from: the index of CPU wheels saves 5 GB of CUDA libraries.
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu
ARG TORCH=torch==2.13.0
ARG EXTRAS=train,s3,gs,postgres

ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore
RUN python -m venv /venv
ENV PATH=/venv/bin:$PATH
WORKDIR /app

# hadolint ignore=DL3013
RUN --mount=type=cache,target=/root/.cache/pip pip install "${TORCH}" --index-url "${TORCH_INDEX}"
# All dependencies before any code: this layer is kept until pyproject.toml, with their bounds,
# changes.
COPY pyproject.toml README.md LICENSE ./
# hadolint ignore=DL3013
RUN --mount=type=cache,target=/root/.cache/pip pip install ".[${EXTRAS}]" \
    && pip uninstall --yes clara-pipeline
COPY . .
RUN pip install --no-cache-dir --no-deps --editable .

FROM python:3.11.14-slim-bookworm

RUN groupadd --gid 1000 clara \
    && useradd --uid 1000 --gid clara --create-home clara \
    && mkdir -p /app/data /mlartifacts /prefect \
    && chown clara:clara /app /app/data /mlartifacts /prefect
COPY --from=build /venv /venv
COPY --from=build --chown=clara:clara /app /app
ENV PATH=/venv/bin:$PATH PYTHONUNBUFFERED=1 CLARA_LOG_FORMAT=json DS_ACCELERATOR=cpu \
    PREFECT_SERVER_ANALYTICS_ENABLED=false DO_NOT_TRACK=true
# The checkout's commit, for the tags of runs: images hold no .git.
ARG GIT_COMMIT=
ENV CLARA_GIT_COMMIT=${GIT_COMMIT}
WORKDIR /app
USER 1000:1000
VOLUME ["/app/data"]
CMD ["clara", "--help"]
