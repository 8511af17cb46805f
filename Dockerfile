# unlearn in a container, on a CPU or, with the NVIDIA container toolkit, on a GPU (docs/guides/docker.md).
FROM python:3.12-slim-bookworm

RUN useradd --create-home --uid 1000 unlearn

WORKDIR /opt/unlearn
COPY pyproject.toml README.md LICENSE ./
COPY unlearn_cli ./unlearn_cli
RUN pip install --no-cache-dir .

# Models, rows and runs are mounted here. The caches go there too, so that they outlive the container.
WORKDIR /work
RUN chown unlearn /work
ENV HF_HOME=/work/.cache/huggingface \
    UNLEARN_CACHE=/work/.cache/unlearn \
    PYTHONUNBUFFERED=1
USER unlearn
ENTRYPOINT ["unlearn"]
CMD ["--help"]
