#!/bin/busybox sh
# First process of the guest that boots from a disk image: what templates/kernel/init.sh does, but for the root file system.
# It takes the same settings from the kernel's command line, and the modules of that initramfs, behind which this one lies.
export PATH=/bin
/bin/busybox mount -t devtmpfs none /dev
exec </dev/console >/dev/console 2>&1
/bin/busybox --install -s /bin
mount -t proc none /proc
mount -t sysfs none /sys

setting() {
  for word in $(cat /proc/cmdline); do
    case $word in "xeno.$1="*) echo "${word#*=}"; return ;; esac
  done
}

for list in virtio disk; do
  while read -r module; do insmod "/modules/$module" 2>/dev/null; done <"/modules/$list"
done

tries=0
until [ -e /sys/class/net/eth0 ] && [ -b /dev/vda ]; do
  tries=$((tries + 1))
  [ $tries -le 100 ] || exit 10
  sleep 0.1
done

address=$(setting address)
ip link set lo up
ip addr add "$(setting link)" dev eth0 && ip link set eth0 up || exit 12
ip addr add "$address" dev eth0 && ip route add default via "$(setting gateway)" src "${address%/*}" || exit 12
hostname "$(setting hostname)"
init=$(setting init)

mount -t ext4 -o rw /dev/vda /root || exit 13
echo "bench: root mounted"
for directory in dev proc sys; do
  mount -o move /$directory /root/$directory || exit 15
done
echo "bench: starting init"
exec switch_root -c /dev/console /root "${init:-/sbin/init}"
