# One image for every program of the Procfile; docker-compose.yml says which container runs which.
FROM python:3.12-slim

ENV PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    PATH=/opt/balados/bin:$PATH \
    BALADOS_HOME=/data \
    LISTEN_HOST=0.0.0.0 \
    PORT=8000

RUN useradd --system --create-home --uid 10001 balados \
    && mkdir /data && chown balados /data

WORKDIR /app
COPY . .
# editable: the code runs where it lies, beside its templates and static files
RUN python -m venv /opt/balados && pip install --no-cache-dir --editable .

USER balados
VOLUME /data
EXPOSE 8000
CMD ["python", "-m", "balados.serve"]
