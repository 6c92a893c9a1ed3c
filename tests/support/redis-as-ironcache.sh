#!/bin/sh
# redis-as-ironcache.sh: redis-server where the tests expect our executable, so that a test of what Redis itself must do can be
# tried on Redis first:   IRONCACHE_BIN=tests/support/redis-as-ironcache.sh bun test tests/property/bank.test.ts
# REDIS_SERVER names another server of its kind. Workers and drivers are ours alone: those options are dropped.
port=0
extra=""
shift # serve
while [ $# -gt 0 ]; do
  case "$1" in
    --port) port="$2" ;;
    --shards | --workers | --io) ;;
    *) extra="$extra $1 $2" ;;
  esac
  shift 2
done
(
  until redis-cli -p "$port" PING >/dev/null 2>&1; do sleep 0.05; done
  echo "redis is ready" >&2
) &
# shellcheck disable=SC2086
exec "${REDIS_SERVER:-redis-server}" --port "$port" --bind 127.0.0.1 --save "" --appendonly no $extra >&2
