# syntax=docker/dockerfile:1
# neuroflow with its services: workers, beat, Flower and the command line. See docs/containers.md, "Docker Compose".
#
#   docker build -t neuroflow:0.1.0 .
#   docker build -t neuroflow:0.1.0 --build-arg EXTRAS=flower,demo .     # with HeudiConv, dcm2niix and QSIParc inside
FROM python:3.12-slim-bookworm AS build

ARG EXTRAS=flower
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /src
COPY pyproject.toml README.md LICENSE ./
COPY neuroflow neuroflow
COPY slurm slurm
COPY site-configs site-configs
COPY containers containers
RUN python -m venv /opt/neuroflow && /opt/neuroflow/bin/pip install ".[${EXTRAS}]"

FROM docker:27-cli AS docker

FROM python:3.12-slim-bookworm

LABEL org.opencontainers.image.title="neuroflow" \
      org.opencontainers.image.description="Diffusion MRI from DICOM folders to region tables, unattended" \
      org.opencontainers.image.version="0.1.0" \
      org.opencontainers.image.licenses="BSD-3-Clause"

# The client alone, for containers.runtime: docker with the host's socket; it does nothing without that socket.
COPY --from=docker /usr/local/bin/docker /usr/local/bin/docker
COPY --from=build /opt/neuroflow /opt/neuroflow
ENV PATH=/opt/neuroflow/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    NEUROFLOW_CONFIG=/etc/neuroflow/neuroflow.yaml \
    NEUROFLOW_NODE=celery

RUN groupadd --gid 1000 neuroflow && useradd --uid 1000 --gid neuroflow --create-home neuroflow
# By number, so that Kubernetes and the like can tell that it is not root.
USER 1000:1000
WORKDIR /home/neuroflow

# Of a worker, which the image runs by default; docker-compose.yml gives the other services their own.
HEALTHCHECK --interval=60s --timeout=30s --start-period=60s --retries=3 \
    CMD ["sh", "-c", "celery -A neuroflow.workers.celery_app inspect ping --destination \"$NEUROFLOW_NODE@$(hostname)\" --timeout 10"]

ENTRYPOINT ["neuroflow"]
CMD ["run", "worker"]
