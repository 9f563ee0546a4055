#!/bin/sh
# Installs what the tests need beside npm's packages: a Redis server, Docker Engine and a few small tools; with the word
# `bench`, instead, the programs that the bench compares with and the one it loads them with.
# On Debian and its kin as root; elsewhere it says what is missing and how to get it. It starts no service, touches no
# running one, and never fails: what lacks something skips it and says so.
set -u

PATH="$PATH:/usr/sbin:/sbin"

# program:Debian package
needs='
redis-server:redis-server
dockerd:docker.io
containerd:containerd
runc:runc
iptables:iptables
ip:iproute2
pigz:pigz
busybox:busybox-static
unshare:util-linux
nsenter:util-linux
setpriv:util-linux
tar:tar
openssl:openssl
systemd-analyze:systemd
ps:procps
curl:curl
docker:docker.io
docker-compose:docker-compose
mkfs.btrfs:btrfs-progs
haproxy:haproxy
pebble:pebble
/usr/lib/cni/bridge:containernetworking-plugins
skopeo:skopeo
umoci:umoci
chromium:chromium
'
lacking='Some tests will be skipped'
purpose='the tests'

case "${1:-}" in
'') ;;
bench)
  needs='
wrk:wrk
nginx:nginx-light
haproxy:haproxy
caddy:caddy
redis-server:redis-server
busybox:busybox-static
taskset:util-linux
'
  lacking='The bench will leave something out'
  purpose='the bench'
  ;;
*)
  echo "usage: $0 [bench]" >&2
  exit 2
  ;;
esac

missing_programs() {
  for need in $needs; do
    command -v "${need%%:*}" >/dev/null 2>&1 || printf '%s ' "${need%%:*}"
  done
}

missing_packages() {
  for need in $needs; do
    command -v "${need%%:*}" >/dev/null 2>&1 || echo "${need#*:}"
  done | sort -u | tr '\n' ' '
}

# A package's script asks /usr/sbin/policy-rc.d before it starts a service; 101 forbids it.
install_quietly() {
  policy=/usr/sbin/policy-rc.d
  if [ ! -e "$policy" ]; then
    printf '#!/bin/sh\nexit 101\n' >"$policy" && chmod 755 "$policy" && made_policy=yes
  fi
  export DEBIAN_FRONTEND=noninteractive
  # shellcheck disable=SC2086 # a list of packages
  apt-get install --yes --quiet -o DPkg::Lock::Timeout=300 --no-install-recommends $1 >"$log" 2>&1 ||
    { apt-get update --quiet >"$log" 2>&1 &&
      apt-get install --yes --quiet -o DPkg::Lock::Timeout=300 --no-install-recommends $1 >>"$log" 2>&1; }
}

clean_up() {
  [ "${made_policy:-no}" = yes ] && rm -f /usr/sbin/policy-rc.d
  rm -f "$log"
}

programs=$(missing_programs)
[ -z "$programs" ] && exit 0

packages=$(missing_packages)
if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null 2>&1; then
  echo "$lacking. Missing programs: $programs" >&2
  echo "On Debian or Ubuntu: sudo apt-get install --no-install-recommends $packages" >&2
  echo "Elsewhere: install the packages that hold these programs (on macOS, work in a Linux machine)." >&2
  exit 0
fi

log=$(mktemp)
trap clean_up EXIT
trap 'exit 1' INT TERM
echo "Installing for $purpose: $packages" >&2
install_quietly "$packages" || tail -n 20 "$log" >&2

programs=$(missing_programs)
if [ -n "$programs" ]; then
  echo "$lacking, because these programs could not be installed: $programs" >&2
fi
exit 0
