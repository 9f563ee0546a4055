# The dispatcher: docker build -t fastcontainer . (docs/docker.md says how to run it)

# The very version that is tested. No digest stands here, for none could be looked up where this was written; give the one that you have
# checked: docker build --build-arg NODE_IMAGE=node:20.20.2-bookworm-slim@sha256:… .
ARG NODE_IMAGE=node:20.20.2-bookworm-slim

FROM ${NODE_IMAGE} AS build
WORKDIR /app
COPY package.json package-lock.json ./
# Scripts of packages are not run: what is native comes built.
RUN npm ci --ignore-scripts --no-audit --no-fund
COPY tsconfig.json ./
COPY src src
RUN npm run build && npm prune --omit=dev --ignore-scripts --no-audit --no-fund

FROM ${NODE_IMAGE}
ENV NODE_ENV=production
WORKDIR /app
COPY --from=build /app/package.json package.json
COPY --from=build /app/node_modules node_modules
COPY --from=build /app/dist/src dist/src
COPY docker docker
RUN mkdir -p /var/lib/fastcontainer /etc/fastcontainer && chmod 0700 /var/lib/fastcontainer && chown node:node /var/lib/fastcontainer
USER node
VOLUME /var/lib/fastcontainer
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s CMD ["node", "/app/docker/healthcheck.js"]
ENTRYPOINT ["node", "/app/docker/entrypoint.js"]
CMD ["start", "--config", "/etc/fastcontainer/fastcontainer.yaml"]
