#!/bin/sh
# Installs what the tests need beside npm's packages: a Redis server, Docker Engine and a few small tools.
# On Debian and its kin as root; elsewhere it says what is missing and how to get it. It starts no service, touches no
# running one, and never fails: tests that lack something skip and say so.
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
ps:procps
curl:curl
docker:docker.io
docker-compose:docker-compose
'

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
  echo "Some tests will be skipped. Missing programs: $programs" >&2
  echo "On Debian or Ubuntu: sudo apt-get install --no-install-recommends $packages" >&2
  echo "Elsewhere: install the packages that hold these programs (on macOS, run the tests in a Linux machine)." >&2
  exit 0
fi

log=$(mktemp)
trap clean_up EXIT
trap 'exit 1' INT TERM
echo "Installing for the tests: $packages" >&2
install_quietly "$packages" || tail -n 20 "$log" >&2

programs=$(missing_programs)
if [ -n "$programs" ]; then
  echo "Some tests will be skipped, because these programs could not be installed: $programs" >&2
fi
exit 0
