#!/usr/bin/env bash
# What the Dockerfiles do, without an engine: each image's packages into a clean environment, its code beside, and every
# process of docker-compose.yml started there against PACKSHOT_DATABASE_URL and PACKSHOT_BROKER_URL until its health
# check passes, then stopped by SIGTERM. Give `api`, `worker` or both.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
python=${PYTHON:-python3.11}
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
export PACKSHOT_DATA_DIR=$folder/data PACKSHOT_PORT=${PACKSHOT_PORT:-18080} PACKSHOT_LOG_FORMAT=json

install() { # image
    local image=$1 extras
    extras=$(sed -n "s/.*'\.\[\([a-z,]*\)\]'.*/\1/p" "$root/deploy/Dockerfile.$image" | head -n 1)
    mkdir -p "$folder/$image/app"
    sed -n 's/^!//p' "$root/.dockerignore" | tar -C "$root" --exclude=__pycache__ --exclude='*.egg-info' -cf - -T - |
        tar -C "$folder/$image/app" -xf -
    cd "$folder/$image/app"
    "$python" -m venv ../venv
    ../venv/bin/pip install --quiet --disable-pip-version-check --root-user-action=ignore \
        --constraint constraints.txt ./client ".[$extras]"
    ../venv/bin/pip install --quiet --disable-pip-version-check --root-user-action=ignore --no-deps --editable .
    ../venv/bin/packshot migrate
    echo "$image: $(../venv/bin/pip list --format=freeze | wc -l) packages, $(du -sm ../venv | cut -f1) MB"
}

run() { # image part command...
    local image=$1 part=$2 pid tries=0
    shift 2
    cd "$folder/$image/app"
    "../venv/bin/packshot" "$@" 2>"$folder/$part.log" &
    pid=$!
    until ../venv/bin/packshot health "$part" >/dev/null 2>&1; do
        kill -0 $pid && [ $((tries += 1)) -lt 60 ] || { cat "$folder/$part.log"; exit 1; }
        sleep 1
    done
    kill -TERM $pid
    wait $pid || [ $? -eq 143 ] # uvicorn stops in order and then ends by the signal that it got
    echo "$image: packshot $* became healthy and stopped in order"
}

for image in "$@"; do
    install "$image"
    case $image in
        api)
            ../venv/bin/packshot keys create tried >/dev/null
            run api api api
            run api io worker io
            run api sweeper worker sweeper
            ;;
        worker) run worker gpu worker gpu ;;
    esac
done
