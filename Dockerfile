# The command, with what a local stack needs; what it fetches stays in a volume:
#   docker build -t cdc-bench .
#   docker run --rm -it --init -v cdc-bench-cache:/cache -v "$PWD":/work cdc-bench run --events 10000
FROM rust:1.95-slim-bookworm AS build
RUN apt-get update -q \
 && apt-get install -qy --no-install-recommends build-essential pkg-config libssl-dev \
 && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY . .
RUN cargo install --path . --locked --root /out

FROM debian:bookworm-slim
RUN apt-get update -q \
 && apt-get install -qy --no-install-recommends openjdk-17-jre-headless maven python3-venv libssl3 ca-certificates \
 && rm -rf /var/lib/apt/lists/* \
 && useradd --create-home --uid 1000 bench \
 && install -d -o bench -g bench /cache /work
COPY --from=build /out/bin/cdc-bench /usr/local/bin/
USER 1000
ENV CDC_BENCH_CACHE_DIR=/cache
VOLUME /cache
WORKDIR /work
ENTRYPOINT ["cdc-bench"]
