# syntax=docker/dockerfile:1
#
# Two images from one file: `server` serves and migrates without torch, `worker` trains.
#
#   docker build --target server -t diffserver .
#   docker build --target worker -t diffserver-worker .

FROM python:3.11-slim AS wheels
WORKDIR /source
COPY client client
COPY pyproject.toml README.md LICENSE ./
COPY diffserver diffserver
COPY migrations migrations
RUN pip wheel --no-cache-dir --no-deps --wheel-dir /wheels ./client .

FROM python:3.11-slim AS base
RUN useradd --create-home --uid 10001 diffserver \
    && cd /var/lib && install -d -o diffserver -g diffserver diffserver diffserver/objects diffserver/tokens \
    && install -d -m 700 -o diffserver -g diffserver /var/lib/diffserver/keys
ENV PYTHONUNBUFFERED=1 \
    DIFFSERVER_HOME=/var/lib/diffserver \
    DIFFSERVER_HOST=0.0.0.0 \
    DIFFSERVER_PORT=8080
WORKDIR /var/lib/diffserver

FROM base AS worker
# Without a GPU, build with TORCH_INDEX set to PyTorch's own index of CPU wheels: they are gigabytes smaller.
ARG TORCH_INDEX=
RUN --mount=type=bind,from=wheels,source=/wheels,target=/wheels \
    pip install --no-cache-dir ${TORCH_INDEX:+--index-url "$TORCH_INDEX"} torch \
    && pip install --no-cache-dir /wheels/diffclient-*.whl "$(echo /wheels/diffserver-*.whl)[postgres,train]"
USER diffserver
VOLUME /var/lib/diffserver
# The process is the container, so it lives as long as the container runs; what can break is its way to the database.
HEALTHCHECK --interval=30s --timeout=20s --start-period=30s --retries=3 \
    CMD ["python", "-m", "diffserver.storage.migrate"]
CMD ["diffserver", "worker"]

FROM base AS server
RUN --mount=type=bind,from=wheels,source=/wheels,target=/wheels \
    pip install --no-cache-dir /wheels/diffclient-*.whl "$(echo /wheels/diffserver-*.whl)[postgres]"
USER diffserver
VOLUME /var/lib/diffserver
EXPOSE 8080
HEALTHCHECK --interval=10s --timeout=5s --start-period=10s --retries=3 \
    CMD ["python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:8080/readyz', timeout=4)"]
CMD ["diffserver", "serve", "--no-worker"]
