#!/bin/sh
# Loads your own daemon with autocannon for a short while and prints what came back. See usage below.
set -eu

usage() {
  cat <<'END'
usage: scripts/load.sh [-c CONNECTIONS] [-d SECONDS] [-r REQUESTS_PER_SECOND] [-m METHOD] HOST [URL]

  HOST   domain of an app, sent as the Host header, such as hello.localhost
  URL    where the daemon listens, with the path to ask for; http://127.0.0.1:8080/ unless told

  -c     connections at a time; 20 unless told
  -d     how long, in seconds; 10 unless told
  -r     requests per second over all connections; as many as come back unless told
  -m     method; GET unless told

It is real load on the app behind the domain, which boots if it sleeps: its first requests then wait for that, so run
this twice and look at the second. Every connection is a request in flight: above `concurrency.max` of the app they wait
in its queue, above `queue.max` they are answered 503, which shows below as non-2xx.

  scripts/load.sh hello.localhost
  scripts/load.sh -c 100 -d 30 shop.example http://127.0.0.1:80/products
END
}

connections=20
seconds=10
rate=
method=GET
while getopts c:d:r:m:h option; do
  case "$option" in
  c) connections=$OPTARG ;;
  d) seconds=$OPTARG ;;
  r) rate=$OPTARG ;;
  m) method=$OPTARG ;;
  h)
    usage
    exit 0
    ;;
  *)
    usage >&2
    exit 2
    ;;
  esac
done
shift $((OPTIND - 1))
if [ $# -lt 1 ] || [ $# -gt 2 ]; then
  usage >&2
  exit 2
fi
host=$1
url=${2:-http://127.0.0.1:8080/}

whole_number() {
  case "$2" in
  '' | 0* | *[!0-9]*)
    echo "$1 takes a whole number above 0, not '$2'" >&2
    exit 2
    ;;
  esac
}
whole_number -c "$connections"
whole_number -d "$seconds"
[ -z "$rate" ] || whole_number -r "$rate"

case "$url" in
http://127.* | http://localhost* | 'http://[::1]'*) ;;
*) echo "note: $url is not this machine; make sure that it is yours, and that the network between may be loaded" >&2 ;;
esac
[ "$connections" -le 1000 ] ||
  echo "note: $connections connections; both sides need as many open files (ulimit -n), and the app a queue of that length" >&2
[ "$seconds" -le 60 ] ||
  echo "note: $seconds seconds; the instance stays in use all the while and is replaced only at its maxLifetime" >&2

cd "$(dirname "$0")/.."
autocannon=node_modules/autocannon/autocannon.js
if [ ! -f "$autocannon" ]; then
  echo "autocannon is not installed: run npm ci (with development dependencies) in $(pwd)" >&2
  exit 1
fi

set -- -c "$connections" -d "$seconds" -m "$method" -H "Host=$host" --renderStatusCodes
[ -z "$rate" ] || set -- "$@" -R "$rate"
exec node "$autocannon" "$@" "$url"
