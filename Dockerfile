# docker build -t fake-dify .
# docker run --rm --read-only -p 127.0.0.1:6060:6060 fake-dify serve --speed instant
FROM python:3.13-slim AS build
WORKDIR /src
COPY requirements.lock ./
RUN python -m venv /opt/fake-dify \
    && /opt/fake-dify/bin/pip install --no-cache-dir --disable-pip-version-check \
        --require-hashes --requirement requirements.lock
COPY LICENSE README.md hatch_build.py openapi.yaml pyproject.toml ./
COPY contract contract
COPY dify_wire dify_wire
COPY fake_dify fake_dify
COPY fake_server fake_server
COPY overlays overlays
COPY recordings recordings
RUN /opt/fake-dify/bin/pip install --no-cache-dir --disable-pip-version-check \
        --no-deps --no-build-isolation . \
    && /opt/fake-dify/bin/pip uninstall --yes \
        editables hatchling pathspec pip pluggy trove-classifiers
# What each version is compiled from, read once here: a start takes half the time, with no home to keep it in.
ENV XDG_CACHE_HOME=/opt/fake-dify/cache
RUN /opt/fake-dify/bin/python -c "from dify_wire.profile import HOST_VERSIONS; from fake_dify import Settings, create_app; [create_app(Settings(host_version=version)) for version in HOST_VERSIONS]" \
    && chmod -R a+rX "$XDG_CACHE_HOME"

FROM python:3.13-slim
LABEL org.opencontainers.image.title="fake-dify" \
      org.opencontainers.image.source="https://github.com/fake-dify/fake-dify" \
      org.opencontainers.image.licenses="MIT AND Apache-2.0 AND BSD-3-Clause"
COPY --from=build /opt/fake-dify /opt/fake-dify
# Published with -p 127.0.0.1:6060:6060, it is reached from this machine alone; the admin API needs FAKE_SERVER_ADMIN_TOKEN.
ENV PATH=/opt/fake-dify/bin:$PATH \
    XDG_CACHE_HOME=/opt/fake-dify/cache \
    PYTHONDONTWRITEBYTECODE=1 \
    FAKE_SERVER_HOST=0.0.0.0
# App files, scenarios and recordings are mounted here.
WORKDIR /work
USER 10001:10001
EXPOSE 6060
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=5s --timeout=3s --start-period=10s --retries=3 \
    CMD ["python", "-c", "import os, socket; socket.create_connection(('127.0.0.1', int(os.environ.get('FAKE_SERVER_PORT', 6060))), 2).close()"]
ENTRYPOINT ["fake-server"]
CMD ["serve"]
