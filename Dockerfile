# syntax=docker/dockerfile:1
# A service on rdkafka-toolkit: Node.js LTS and Confluent's own librdkafka. binding-notes/image.md says why it is built this way.
#
#   docker build -t toolkit .                     # the toolkit's own command line tool
#   docker run --rm --read-only toolkit rdkafka-toolkit doctor
#
# Your service: FROM toolkit, COPY your code to /service, WORKDIR /service, CMD ["node", "service.js"].
ARG NODE_VERSION=22
ARG DEBIAN_SUITE=bookworm

FROM node:${NODE_VERSION}-${DEBIAN_SUITE}-slim AS librdkafka
ARG DEBIAN_SUITE
# The librdkafka that node-rdkafka 3.6.1 is made for.
ARG LIBRDKAFKA_VERSION=2.12.0-1.cflt~deb12
ARG CONFLUENT_KEY_FINGERPRINT=CBBB821E8FAF364F79835C438B1DA6120C2BF624
SHELL ["/bin/bash", "-euo", "pipefail", "-c"]
# The key is trusted only when it is the one that is known.
# hadolint ignore=DL3008
RUN apt-get update \
 && apt-get install -y --no-install-recommends ca-certificates curl gnupg \
 && curl -fsSL --proto '=https' https://packages.confluent.io/clients/deb/archive.key -o /tmp/confluent.asc \
 && gpg --show-keys --with-colons /tmp/confluent.asc > /tmp/confluent.keys \
 && [ "$(grep -c '^pub:' /tmp/confluent.keys)" = 1 ] \
 && grep -q "^fpr:::::::::${CONFLUENT_KEY_FINGERPRINT}:" /tmp/confluent.keys \
 && gpg --dearmor -o /usr/share/keyrings/confluent-clients.gpg /tmp/confluent.asc \
 && echo "deb [signed-by=/usr/share/keyrings/confluent-clients.gpg] https://packages.confluent.io/clients/deb ${DEBIAN_SUITE} main" \
    > /etc/apt/sources.list.d/confluent-clients.list \
 && apt-get update \
 && apt-get install -y --no-install-recommends tini "librdkafka1=${LIBRDKAFKA_VERSION}" "librdkafka++1=${LIBRDKAFKA_VERSION}" \
 && apt-get purge -y --auto-remove curl gnupg \
 && rm -rf /var/lib/apt/lists/* /tmp/confluent.*

FROM librdkafka AS build
ARG LIBRDKAFKA_VERSION=2.12.0-1.cflt~deb12
# hadolint ignore=DL3008
RUN apt-get update \
 && apt-get install -y --no-install-recommends g++ make python3 "librdkafka-dev=${LIBRDKAFKA_VERSION}" \
 && rm -rf /var/lib/apt/lists/*
ENV BUILD_LIBRDKAFKA=0
WORKDIR /app
COPY package.json package-lock.json binding.gyp tsconfig.json ./
COPY src ./src
# In this order: node-rdkafka is compiled before the addon that is compiled against it.
RUN npm ci --ignore-scripts \
 && npm rebuild node-rdkafka \
 && npm run --silent install \
 && npx tsc -p tsconfig.json \
 && npm prune --omit=dev --ignore-scripts \
 && rm -rf node_modules/node-rdkafka/deps node_modules/node-rdkafka/build/Release/obj.target build/Release/obj.target \
 && node dist/src/cli/main.js doctor

FROM librdkafka
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="rdkafka-toolkit" \
      org.opencontainers.image.description="Native-performance librdkafka toolkit for Node.js" \
      org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
# The pool serves connecting, flushing, closing, DNS and files: one for each client that may do so at once, and some to spare.
ENV NODE_ENV=production \
    UV_THREADPOOL_SIZE=8
WORKDIR /service
# Not writable by who runs it. A module anywhere below / finds the package.
COPY --from=build /app/package.json /node_modules/rdkafka-toolkit/package.json
COPY --from=build /app/dist /node_modules/rdkafka-toolkit/dist
COPY --from=build /app/build /node_modules/rdkafka-toolkit/build
COPY --from=build /app/node_modules /node_modules/rdkafka-toolkit/node_modules
RUN ln -s /node_modules/rdkafka-toolkit/dist/src/cli/main.js /usr/local/bin/rdkafka-toolkit \
 && chmod 755 /node_modules/rdkafka-toolkit/dist/src/cli/main.js
USER 10001:10001
# Asks broker and registry. A service that answers probes itself says its own: HEALTHCHECK CMD ["node", "probe.js"].
HEALTHCHECK --interval=60s --timeout=15s --start-period=30s --retries=3 CMD ["rdkafka-toolkit", "doctor"]
# tini hands signals on and reaps; the service drains and commits at SIGTERM.
STOPSIGNAL SIGTERM
ENTRYPOINT ["/usr/bin/tini", "--"]
CMD ["rdkafka-toolkit", "doctor"]
