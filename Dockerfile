# Two stages: the wheel is built and installed where there are tools for it, and only the result goes into the image.
FROM python:3.13.11-slim-trixie AS build
WORKDIR /build
COPY pyproject.toml README.md LICENSE ./
COPY connectors connectors
COPY ricochet ricochet
COPY spread spread
COPY streams streams
RUN pip wheel --no-cache-dir --no-deps --wheel-dir dist .
RUN python -m venv /opt/ricochet && /opt/ricochet/bin/pip install --no-cache-dir dist/*.whl

FROM python:3.13.11-slim-trixie
# A fixed number, so that the owner of a volume is the same after every build. New volumes on /data take its owner.
RUN useradd --uid 10001 --user-group --no-create-home --home-dir /data --shell /usr/sbin/nologin ricochet \
 && install --directory --owner=ricochet --group=ricochet /data
COPY --from=build /opt/ricochet /opt/ricochet
ENV PATH=/opt/ricochet/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    RICOCHET_DATA=/data \
    RICOCHET_HOST=0.0.0.0 \
    RICOCHET_LOG_FORMAT=json
WORKDIR /data
USER 10001:10001
EXPOSE 8780
# A worker that reads its tables back is not ready yet, and that may take its time.
HEALTHCHECK --interval=10s --timeout=5s --start-period=10m --start-interval=2s --retries=3 \
    CMD ["python", "-c", "import sys; from http.client import HTTPConnection; worker = HTTPConnection('127.0.0.1', 8780, timeout=4); worker.request('GET', '/readyz'); sys.exit(worker.getresponse().status != 200)"]
ENTRYPOINT ["ricochet"]
CMD ["worker", "--port", "8780"]
