# On a CPU, without root and with nothing writable but the mounted folder and /tmp. On x86-64, pass the address of PyTorch's
# packages for CPUs as --build-arg PIP_EXTRA_INDEX_URL=...; otherwise pip takes the build for CUDA, which is much larger.
FROM python:3.11-slim AS build
ARG PIP_EXTRA_INDEX_URL
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
RUN python -m venv /opt/elmo-mf
WORKDIR /src
COPY requirements.torch requirements.lock ./
RUN /opt/elmo-mf/bin/pip install -r requirements.torch
RUN /opt/elmo-mf/bin/pip install --no-deps --require-hashes -r requirements.lock
RUN /opt/elmo-mf/bin/pip install --no-deps allennlp==2.10.1 allennlp-models==2.10.1
COPY pyproject.toml README.md LICENSE elmo_mf_compat.pth ./
COPY elmo_mf elmo_mf
COPY jsonnet jsonnet
COPY leaderboard/recommended.json leaderboard/recommended.json
COPY tasks tasks
COPY weights weights
RUN /opt/elmo-mf/bin/pip install --no-deps .

FROM python:3.11-slim
COPY --from=build /opt/elmo-mf /opt/elmo-mf
ENV PATH=/opt/elmo-mf/bin:$PATH XDG_CACHE_HOME=/tmp/cache MPLCONFIGDIR=/tmp/matplotlib
RUN useradd --no-create-home elmo
USER elmo
WORKDIR /work
ENTRYPOINT ["elmo-mf"]
CMD ["--help"]
