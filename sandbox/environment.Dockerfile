# An experiment's own environment: the sandbox image with exactly the packages of its requirements.lock,
# in place of the sandbox's. SANDBOX and SANDBOX_NAME are one image, by its ID and by its name: given the
# same word for both stages, the classic builder starts the second from the first one's layers.
# `installer` holds pip, from the sandbox's own lock; wheels were downloaded on the host by hash.
ARG SANDBOX
ARG SANDBOX_NAME
FROM ${SANDBOX_NAME} AS packages
LABEL autoresearch.stage=packages
ARG SITE
COPY requirements.lock wheels/ /wheels/
COPY installer/ /installer/
RUN python3 -I "$(echo /installer/pip-*.whl)/pip" install --no-index --find-links /wheels --require-hashes \
        --no-cache-dir --no-compile --root-user-action ignore --ignore-installed --target /packages \
        -r /wheels/requirements.lock \
 && rm -rf /packages/bin /packages/share \
 && python3 -m compileall -q -j 0 --invalidation-mode unchecked-hash -s /packages -p "${SITE}" /packages

FROM ${SANDBOX}
ARG SITE
RUN find "${SITE}" -mindepth 1 -delete
COPY --from=packages /packages "${SITE}"
