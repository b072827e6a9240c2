# Two images of one package:
#   docker build --target training --tag pyg-srgnn-training .
#   docker build --target serving --tag pyg-srgnn .          (the default)
# docs/docker.md has the commands that go with them.

# What trains, prepares and exports.
FROM python:3.11-slim AS training
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PYTHONUNBUFFERED=1
# INDEX is where torch comes from: that of CUDA holds the same versions, and several GB more.
ARG INDEX=https://download.pytorch.org/whl/cpu
COPY . /src
# The lock is a list of constraints: of each package that is wanted, the version that was tested.
RUN pip install --extra-index-url "$INDEX" --constraint /src/requirements.lock \
      "/src[7z,export,hub,index,plots,sweep,text]" \
 && useradd --create-home --uid 10001 srgnn
USER 10001
WORKDIR /home/srgnn
ENTRYPOINT ["srgnn-train"]

# What serves an exported model: no PyTorch Geometric, Lightning, Hydra or Polars.
FROM python:3.11-slim AS serving
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PYTHONUNBUFFERED=1 OMP_NUM_THREADS=1
ARG INDEX=https://download.pytorch.org/whl/cpu
COPY . /src
RUN pip install --extra-index-url "$INDEX" --constraint /src/requirements.lock \
      torch numpy safetensors onnxruntime \
      fastapi uvicorn httptools uvloop prometheus-client redis \
 && pip install --no-deps /src \
 && useradd --no-create-home --uid 10001 srgnn
USER 10001
WORKDIR /
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=3s --start-period=60s \
  CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8000/ready', timeout=2)"]
ENTRYPOINT ["python", "-m", "pyg_srgnn.serving"]
# The folder of exports is mounted, as an export is replaced by renaming: -v $PWD/exports:/models:ro and
# the arguments /models/NAME --host 0.0.0.0; a token is in -e SRGNN_TOKEN=…
CMD ["/models/model", "--host", "0.0.0.0"]
