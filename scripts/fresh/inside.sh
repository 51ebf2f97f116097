#!/bin/sh
# Runs one npm command in a new Debian, as the first process of namespaces of its own (unshare(1)): whatever happens, the
# processes and mounts in here end with it. The network is the host's.
#
#   inside.sh ROOT DIRECTORY NPM-ARGUMENT…     DIRECTORY is the checkout, as seen from within ROOT
#
# Ends with npm's exit code, or with 1 when the command left processes, mounts, network devices or namespaces behind.
set -eu
root=$1 checkout=$2
shift 2

mount --bind "$root" "$root"
mount -t proc proc "$root/proc"
mount --rbind /sys "$root/sys"
mount --rbind /dev "$root/dev"
mount -t tmpfs -o mode=755 tmpfs "$root/run"
# The way to the network is the host's: its name servers, and authorities that it trusts for a proxy in between.
cp /etc/resolv.conf /etc/hosts "$root/etc/"
mkdir -p "$root/usr/local/share"
[ ! -d /usr/local/share/ca-certificates ] || cp -r /usr/local/share/ca-certificates "$root/usr/local/share/"

# A real root, not chroot's: programs that enter a mount namespace by file start at its root.
cd "$root"
mkdir -p .host
pivot_root . .host
cd /
# umount2(2) with MNT_DETACH by perl, which is always there: the new system may have no umount yet.
perl -e '$host = "/.host"; syscall(166, $host, 2) == 0 or die "umount: $!\n"'
rmdir /.host
update-ca-certificates >/dev/null 2>&1

look() { # one line for each thing that must not stay
  awk '{ print "mount " $2 }' /proc/mounts
  ls /sys/class/net 2>/dev/null | sed 's/^/network device /'
  ls /run/netns 2>/dev/null | sed 's/^/network namespace /'
  for process in /proc/[0-9]*; do
    # The first process and what it runs for this look.
    [ "$(cut -d ' ' -f 4 "$process/stat" 2>/dev/null || echo 1)" = 1 ] || continue
    [ "${process#/proc/}" != 1 ] || continue
    echo "process $(tr '\0' ' ' <"$process/cmdline" 2>/dev/null || true)"
  done | grep -v -e '^process $' -e ' /inside.sh ' || true
}

cd "$checkout"
look | sort >/run/before
npm "$@" &
npm=$!
trap 'kill -TERM $npm 2>/dev/null' TERM INT
code=0
wait $npm || code=$?
# A signal ends `wait` early; npm is still cleaning up.
while kill -0 $npm 2>/dev/null; do wait $npm || code=$?; done

look | sort >/run/after
if grep -v -x -F -f /run/before /run/after >/run/left; then
  echo "left behind:" >&2
  cat /run/left >&2
  [ $code -ne 0 ] || code=1
fi
exit $code
