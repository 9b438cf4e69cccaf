#!/bin/sh
# The README's two commands in a minimal Debian 12 made by debootstrap: proves that each installs what it needs. Root; a few minutes.
# The tree is taken from git, so only what is committed counts. FRESH_DEBIAN_MIRROR names the package mirror (default: the one
# this machine's apt uses).
set -eu
top=$(cd "$(dirname "$0")/.." && pwd)
[ "$(id -u)" = 0 ] || {
    echo "needs root: debootstrap and chroot" >&2
    exit 1
}
command -v debootstrap >/dev/null || apt-get install -y -q --no-install-recommends debootstrap
mirror=${FRESH_DEBIAN_MIRROR:-$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' | grep -m 1 '/debian/*$')}
root=$(mktemp -d "${TMPDIR:-/var/tmp}/kvass-fresh.XXXXXX")
cleanup() {
    umount "$root/proc" 2>/dev/null || true
    umount -R -l "$root/dev" 2>/dev/null || true
    rm -rf --one-file-system "$root"
}
trap cleanup EXIT INT TERM
debootstrap --variant=minbase bookworm "$root" "$mirror"
# apt inside uses the same sources, proxies and keys as this machine.
for f in /etc/apt/apt.conf.d /etc/resolv.conf /etc/hosts; do
    [ -e "$f" ] && cp -a "$f" "$root$(dirname "$f")/" || true
done
printf '#!/bin/sh\nexit 101\n' >"$root/usr/sbin/policy-rc.d"
chmod +x "$root/usr/sbin/policy-rc.d"
mount -t proc proc "$root/proc"
mount --rbind /dev "$root/dev" && mount --make-rslave "$root/dev"
mkdir -p "$root/src"
git -C "$top" archive HEAD | tar -x -C "$root/src"
inside() {
    chroot "$root" /usr/bin/env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C.UTF-8 \
        ${http_proxy:+http_proxy="$http_proxy"} ${https_proxy:+https_proxy="$https_proxy"} sh -c "$1"
}
inside 'apt-get update -q'
for command in ./scripts/demo ./scripts/check; do
    echo "=== $command in a fresh Debian 12"
    inside "cd /src && $command"
done
