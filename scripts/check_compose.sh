#!/usr/bin/env bash
# Checks a running stack: docker compose up -d --wait && scripts/check_compose.sh
# Uploads frames to a stream of its own, restarts the worker, kills Redis and the front end with kill -9,
# and sees that every accepted frame gets its score, once; then it removes the stream.
#   COMPOSE  the compose command ("docker compose"); URL  where the front end is published
#   MODEL    the model that scores ("demo")
set -euo pipefail
cd "$(dirname "$0")/.."
read -r -a compose <<<"${COMPOSE:-docker compose}"
url=${URL:-http://127.0.0.1:${NORMWATCH_PORT:-8000}}
model=${MODEL:-demo}
accepted=$(mktemp)
trap 'rm -f "$accepted"' EXIT

say() { printf '%s  %s\n' "$(date -u +%H:%M:%S)" "$*"; }
step() { "${compose[@]}" exec -T api python - "$@" <scripts/check_compose.py; }
upload() { step upload "$stream" "$1" >>"$accepted"; }
check() {
  local ranges seen
  mapfile -t ranges <"$accepted"
  seen=$(step check "$stream" "${ranges[@]}")
  say "$seen"
}

ready() {
  for _ in $(seq 180); do
    curl -fsS -m 10 "$url/readyz" >/dev/null 2>&1 && return
    sleep 1
  done
  say "$url/readyz does not answer"; "${compose[@]}" ps -a; exit 1
}

# Kills the process that a container's init started, as its own user: within a container without
# capabilities root may not, and process 1 can't be killed from inside at all. Docker restarts it.
crash() {
  local container before
  container=$("${compose[@]}" ps -q "$1")
  before=$(docker inspect -f '{{.RestartCount}}' "$container")
  # shellcheck disable=SC2016  # for the shell in the container
  "${compose[@]}" exec -T -u "$2" "$1" sh -c \
    'for f in /proc/[0-9]*/stat; do read -r pid name state parent rest <"$f" || continue
       [ "$parent" = 1 ] && kill -9 "$pid"; done' || true
  for _ in $(seq 60); do
    [ "$(docker inspect -f '{{.RestartCount}}' "$container")" -gt "$before" ] && return
    sleep 1
  done
  say "Docker did not restart $1"; exit 1
}

owner() { # the user id that the main process of a service runs as
  # shellcheck disable=SC2016
  "${compose[@]}" exec -T "$1" sh -c \
    'for f in /proc/[0-9]*/stat; do read -r pid name state parent rest <"$f" || continue
       [ "$parent" = 1 ] && stat -c %u "/proc/$pid" && break; done'
}

ready; say "$url is ready"
stream=$(step register "$model"); say "registered stream $stream with the model $model"
upload 40; check

say "restarting the worker"
"${compose[@]}" restart worker >/dev/null 2>&1
upload 40; check

say "killing Redis while frames are uploaded"
upload 80 & uploading=$!
sleep 2; crash redis "$(owner redis)"
wait "$uploading"; ready; say "Redis is back"
upload 20; check

say "killing Redis while accepted frames wait in it, with no worker to take them"
"${compose[@]}" stop worker >/dev/null 2>&1
upload 40; crash redis "$(owner redis)"
ready; say "Redis is back"
"${compose[@]}" start worker >/dev/null 2>&1
check

say "killing the front end while frames wait"
upload 40; crash api "$(owner api)"
ready; say "the front end is back"
upload 20; check

step remove "$stream"; say "all is well; the stream is removed"
