# normwatch as an image: front end, worker and every other command. CPU by default.
#
# TORCH_INDEX: where pip finds torch. Empty: PyTorch's own CPU builds where they can be reached, else
# the index that pip is configured with. https://pypi.org/simple gives the build with CUDA.
FROM python:3.11-slim-bookworm AS base
RUN python -m venv /opt/normwatch
ENV PATH=/opt/normwatch/bin:$PATH \
    PIP_NO_CACHE_DIR=1 \
    PIP_DISABLE_PIP_VERSION_CHECK=1

# Dependencies first, the largest in a layer of its own: a change of our sources rebuilds neither.
FROM base AS dependencies
ARG TORCH_INDEX=
COPY requirements.lock /tmp/
RUN cpu=https://download.pytorch.org/whl/cpu; index=$TORCH_INDEX; \
    if [ -z "$index" ] && python -c "import urllib.request as r; r.urlopen('$cpu/torch/', timeout=10)" 2>/dev/null; \
    then index=$cpu; fi; \
    pip install --no-deps ${index:+--index-url "$index"} "$(grep '^torch==' /tmp/requirements.lock)"
RUN pip install -r /tmp/requirements.lock

FROM dependencies AS project
COPY pyproject.toml README.md LICENSE /src/
COPY model /src/model
COPY service /src/service
RUN pip install --no-deps --no-build-isolation --prefix=/install /src

FROM dependencies
RUN groupadd --gid 10001 normwatch \
    && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /data normwatch \
    && install -d -o normwatch -g normwatch /data /models /media /spool
COPY --from=project /install /opt/normwatch
COPY deploy/health.py /opt/normwatch/health.py
ENV PYTHONUNBUFFERED=1 \
    PYTHONSAFEPATH=1 \
    MPLCONFIGDIR=/tmp/matplotlib \
    NORMWATCH_DATA_DIR=/data \
    NORMWATCH_MODELS_DIR=/models
USER normwatch
WORKDIR /data
EXPOSE 8000
ENTRYPOINT ["normwatch"]
CMD ["--help"]
