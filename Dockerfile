# The media server with ffmpeg on a Debian base, for those who have Docker: streams with
# B-frames are then encoded again for WebRTC. `make images` builds such an image too, a smaller
# one and without Docker, where apt can download Debian's packages.
#
#   docker build -t ghcr.io/streampair/mediaserver:VERSION-ffmpeg --build-arg VERSION=VERSION .

FROM node:22-bookworm-slim AS player
WORKDIR /src/mediaserver/player
COPY mediaserver/player/package.json mediaserver/player/package-lock.json ./
RUN npm ci
COPY mediaserver/player ./
COPY api/controlroom /src/api/controlroom
RUN npm run build

FROM golang:1.26-bookworm AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY api ./api
COPY mediaserver ./mediaserver
COPY --from=player /src/mediaserver/player/dist ./mediaserver/player/dist
COPY --from=player /src/api/controlroom/dist ./api/controlroom/dist
ARG VERSION=devel
RUN CGO_ENABLED=0 go build -trimpath -buildvcs=false -ldflags "-s -w -X main.version=${VERSION}" \
    -o /out/ ./mediaserver/cmd/streampair-mediaserver

FROM debian:bookworm-slim
RUN apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates ffmpeg \
    && rm -rf /var/lib/apt/lists/*
COPY LICENSE NOTICE /licenses/
COPY LICENSES /licenses/LICENSES
COPY --from=build /out/streampair-mediaserver /streampair-mediaserver
ARG VERSION=devel
LABEL org.opencontainers.image.title="Streampair media server" \
      org.opencontainers.image.description="Takes two encoders' streams and plays them as one; with ffmpeg" \
      org.opencontainers.image.source="https://github.com/streampair/streampair" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.licenses="Apache-2.0 AND LGPL-2.1-or-later AND GPL-2.0-or-later"
USER 65532:65532
EXPOSE 1935/tcp 1936/tcp 5080/tcp 5443/tcp 8189/tcp 8189/udp 8890/udp 9090/tcp 9091/tcp
ENTRYPOINT ["/streampair-mediaserver"]
