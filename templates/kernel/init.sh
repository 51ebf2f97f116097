#!/bin/busybox sh
# The first process of every guest: brings up the link, mounts the root over NFSv3 and hands over to the root's own init.
#
# What it is told, on the kernel's command line (Debian's kernel has no IP_PNP, so nothing below the guest's init could):
#   xeno.link=ADDRESS/BITS     this guest's end of the link to its file server
#   xeno.server=ADDRESS        the file server's end
#   xeno.address=ADDRESS/BITS  the guest's routable address, if it has one; traffic to the world leaves from it
#   xeno.gateway=ADDRESS       the next hop to the world (the server's end of the link, unless given)
#   xeno.hostname=NAME
#   xeno.export=PATH           what to mount (/)
#   xeno.mount=OPTIONS         further options for the mount, after ours: nfs(5)
#   xeno.init=PATH             (/sbin/init)
#   xeno.probe                 power off at once: Xenod asks whether a guest runs here at all
#
# Where it cannot go on, it says why in one line and ends: the kernel panics, which the hypervisor reports as a crash,
# so that a guest which never came up is not taken for one that powered off.
export PATH=/bin
/bin/busybox mount -t devtmpfs none /dev
exec </dev/console >/dev/console 2>&1
/bin/busybox --install -s /bin
mount -t proc none /proc
mount -t sysfs none /sys

fail() { # exit status, reason
  echo "xeno: cannot boot: $2"
  exit "$1"
}

setting() { # name, default
  for word in $(cat /proc/cmdline); do
    case $word in "xeno.$1="*) echo "${word#*=}"; return ;; esac
  done
  echo "$2"
}

load() { # the modules of one list, in order; one that finds no device of its kind is no error
  while read -r module; do insmod "/modules/$module" 2>/dev/null; done <"/modules/$1"
}

case " $(cat /proc/cmdline) " in *" xeno.probe "*) poweroff -f; sleep 60 ;; esac

if [ "$(cat /sys/hypervisor/type 2>/dev/null)" = xen ]; then load xen; else load virtio; fi
load root

tries=0
until [ -e /sys/class/net/eth0 ]; do
  tries=$((tries + 1))
  [ $tries -le 100 ] || fail 10 "no network device after 10 s; is it a kind that this initramfs has no module for?"
  sleep 0.1
done

link=$(setting link) server=$(setting server) address=$(setting address)
[ -n "$link" ] && [ -n "$server" ] || fail 11 "the kernel's command line has no xeno.link= or no xeno.server="
ip link set lo up
ip addr add "$link" dev eth0 && ip link set eth0 up || fail 12 "eth0 does not take the address $link"
if [ -n "$address" ]; then
  ip addr add "$address" dev eth0 &&
    ip route add default via "$(setting gateway "$server")" src "${address%/*}" ||
    fail 12 "eth0 does not take the address $address"
fi
hostname "$(setting hostname localhost)"

# This guest is its export's only client, so what it has cached stays true (nocto, actimeo: 1,470 fewer of 3,390 requests until
# Debian's login prompt). Where a layer is live, Xenod says otherwise by xeno.mount=cto,actimeo=3.
# `timeo` is in tenths of a second. A mount that fails is tried again here, where its tries can be counted, and not
# by the kernel, which would go on for minutes.
options="vers=3,proto=tcp,nolock,hard,noacl,timeo=600,retrans=2,rsize=1048576,wsize=1048576"
options="$options,nocto,actimeo=600,port=2049,mountproto=tcp,mountport=2049,mountvers=3,addr=$server"
extra=$(setting mount)
tries=0
until reason=$(timeout -s KILL 20 mount -i -t nfs -o "$options${extra:+,$extra}" "$server:$(setting export /)" /root 2>&1); do
  tries=$((tries + 1))
  [ $tries -le 60 ] || fail 13 "the file server at $server does not give the root: ${reason:-no answer}"
  [ $tries -gt 1 ] || echo "xeno: waiting for the file server at $server: ${reason:-no answer}"
  sleep 0.5
done

init=$(setting init /sbin/init)
[ -e "/root$init" ] || [ -L "/root$init" ] || fail 14 "the root has no $init"
for directory in dev proc sys; do
  mount -o move /$directory /root/$directory || fail 15 "the root has no directory /$directory"
done
echo "xeno: root mounted after $(cut -d ' ' -f 1 /root/proc/uptime) s"
exec switch_root -c /dev/console /root "$init"
fail 16 "the root's $init cannot be run"
